//! `revoke`: takes access back from a user, a device, a tenant, or whoever has a token of a key;
//! and gives it back.
//!
//! The running broker is told through its door in the data folder, and answers once the sessions
//! are cut off. What is said on stdout is what was done. Whoever runs this must be able to use the
//! door; there is nothing else to prove.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use wardline_broker::operator::admin;
use wardline_broker::operator::revoke::{Done, Listed, Order, Whose};
use wardline_broker::operator::text_log;

use super::serve::Configuration;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whose access: that of a user, of a device, of a tenant, or of all tokens of a key.
    #[arg(value_enum, required_unless_present = "list")]
    whose: Option<Kind>,
    /// The user's or tenant's name in tokens; the device's id in hexadecimal; the key's `kid`, or
    /// its thumbprint as `check-config` shows it.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// The tenant of the user.
    #[arg(long, required_if_eq("whose", "user"))]
    tenant: Option<String>,
    /// Refuses also tokens that are issued later, until it is lifted. It is always so for a device
    /// and a key.
    #[arg(long, conflicts_with_all = ["lift", "list"])]
    until_lifted: bool,
    /// Gives the access back.
    #[arg(long, conflicts_with = "list")]
    lift: bool,
    /// Shows what access is taken back.
    #[arg(long, conflicts_with_all = ["whose", "name", "tenant"])]
    list: bool,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    User,
    Device,
    Key,
    Tenant,
}

impl Arguments {
    fn order(&self) -> Order {
        let Some(whose) = self.whose() else { return Order::List };
        if self.lift { Order::Lift(whose) } else { Order::Revoke { whose, until_lifted: self.until_lifted } }
    }

    fn whose(&self) -> Option<Whose> {
        let name = self.name.clone()?;
        Some(match self.whose? {
            Kind::User => Whose::User { tenant: self.tenant.clone().unwrap_or_default(), name },
            Kind::Device => Whose::Device(name),
            Kind::Key => Whose::Key(name),
            Kind::Tenant => Whose::Tenant(name),
        })
    }
}

/// Takes access back, or gives it back, and says what was done.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    text_log::start_for_people("warn")?;
    let data = arguments.configuration.layered()?.storage_path;
    let done = admin::order(&data, &arguments.order())?.with_context(|| {
        format!(
            "no broker answers at {}; name the data folder of a running one with --data or --config",
            data.join(admin::SOCKET).display()
        )
    })?;
    let mut out = io::stdout().lock();
    match done {
        Done::Revoked { ended, through_ms, not_on_record } => {
            writeln!(out, "revoked {}; {ended} sessions ended", reaches(through_ms))?;
            if let Some(why) = not_on_record {
                bail!(
                    "but it is not on record ({why}): it holds until the broker stops; say it again when that is mended"
                );
            }
        }
        Done::Lifted { was_revoked: true } => writeln!(out, "lifted")?,
        Done::Lifted { was_revoked: false } => {
            bail!("nothing was revoked there; `revoke --list` shows what is")
        }
        Done::List(all) => all.iter().try_for_each(|one| show(one, &mut out))?,
    }
    Ok(())
}

fn show(one: &Listed, out: &mut impl Write) -> io::Result<()> {
    let Listed { kind, name, made_ms, through_ms } = one;
    writeln!(out, "{} {kind} {name:?}: {}", shown(*made_ms), reaches(*through_ms))
}

fn reaches(through_ms: Option<u64>) -> String {
    match through_ms {
        Some(through) => format!("for tokens issued up to {}", shown(through)),
        None => "until it is lifted".to_owned(),
    }
}

fn shown(ms: u64) -> humantime::Rfc3339Timestamp {
    // No broker tells a later time than the year 9999, which is the last that can be shown.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_millis(ms).min(LAST))
}
