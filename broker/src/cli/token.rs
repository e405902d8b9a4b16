//! `token`: a token for somebody, signed with the development key.
//!
//! Production tokens come from the hospital's identity provider; the broker holds no key that could
//! sign one. What is printed is the token and nothing else, so that a shell can take it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wardline_broker::config::Config;
use wardline_broker::dev::{self, Bearer, Dev};

use super::serve::now;
use super::time;

/// How long a token is good, unless told otherwise.
pub(super) const TTL: Duration = Duration::from_secs(12 * 3600);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Who the token is for (`sub`).
    #[arg(long)]
    user: String,
    /// Their organisation.
    #[arg(long, default_value = dev::TENANT)]
    tenant: String,
    /// A role; `broadcaster` may create broadcasts, `administrator` names admins,
    /// `registrar` says what the patients' record says.
    #[arg(long)]
    role: Vec<String>,
    /// How long it is good, like 12h or 5d; brokers take no more than auth.lifetime.
    #[arg(long, value_parser = time::some, default_value = "12h")]
    ttl: Duration,
    /// The data folder of a broker started with `serve --dev`.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

/// Prints a token.
pub(super) fn print(arguments: &Arguments) -> anyhow::Result<()> {
    let bearer = Bearer {
        user: arguments.user.clone(),
        tenant: arguments.tenant.clone(),
        roles: arguments.role.clone(),
    };
    let audience = Config::dev().auth_audience;
    let token = Dev::of(&arguments.data).token(&bearer, &audience, now(), arguments.ttl)?;
    Ok(writeln!(io::stdout(), "{token}")?)
}
