//! How a client command reaches the broker: address, trust, token, device.
//!
//! One session a device, says the protocol, so every process that runs at the same time needs a
//! device of its own; and a device should be the same one the next time. A small pool of ids lies
//! in the user's state folder; a process locks one for as long as it lives. No token is ever
//! written there.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde::Deserialize;
use wardline_broker::config::Config;
use wardline_broker::dev::{self, Bearer, Dev};
use wardline_client::{Address, Client, ConversationId, DeviceId, Inbox, Options, TokenSource, Trust};

use super::failure::Failure;
use super::serve::now;
use super::token;

/// Devices in the pool of one person for one purpose; whoever comes on top gets a random one.
const POOL: usize = 8;
/// The variable that may hold a token.
const TOKEN: &str = "WARDLINE_TOKEN";
/// Longest time to say goodbye.
const CLOSE: Duration = Duration::from_secs(5);

/// The broker to talk to, and as whom.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Where the broker is: a name or an IP address. All addresses of a name are tried.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4433")]
    server: Address,
    /// The name in the broker's certificate, if it is not the host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// The certificate authority to believe, in PEM [default: the one of --data].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The token to show [default: what WARDLINE_TOKEN holds, unless --as is given].
    #[arg(long)]
    token: Option<String>,
    /// For trying out: signs a token for this user with the development key of --data.
    #[arg(long = "as", value_name = "USER", conflicts_with = "token")]
    user: Option<String>,
    /// With --as: their organisation.
    #[arg(long, default_value = dev::TENANT, requires = "user", conflicts_with = "token")]
    tenant: String,
    /// With --as: a role, for example broadcaster.
    #[arg(long, requires = "user", conflicts_with = "token")]
    role: Vec<String>,
    /// The data folder of a broker started with `serve --dev`.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

/// What the connection is for: each purpose has devices of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One request and away; takes no deliveries.
    Request,
    /// Receives.
    Receive,
}

/// A connection, and who is on it.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) inbox: Inbox,
    /// The user's name, as in the token.
    pub(super) user: String,
    /// Keeps the device ours.
    _device: Option<File>,
}

impl Session {
    /// Says goodbye once everything handed in is durable.
    pub(super) async fn close(self) {
        self.client.close(CLOSE).await;
    }
}

impl Connection {
    /// Connects.
    pub(super) async fn open(&self, purpose: Purpose) -> anyhow::Result<Session> {
        let (tokens, who) = self.tokens()?;
        let name = self.server_name.clone().unwrap_or_else(|| self.server.server_name());
        let ca = self.ca.clone().unwrap_or_else(|| Dev::of(&self.data).ca());
        let pem = fs::read(&ca).with_context(|| {
            format!(
                "cannot read the certificate authority {}: name the broker's with --ca, or the folder of `serve --dev` with --data",
                ca.display()
            )
        })?;
        let (device, lock) = match state_folder() {
            Some(folder) => device(&folder, &self.server.to_string(), &who, purpose),
            None => (DeviceId::random(), None),
        };
        let mut options = Options::new(self.server.clone(), name, Trust::Pem(pem), tokens, device);
        options.client_name = "wardline".into();
        let (client, inbox) = wardline_client::connect(options).await?;
        Ok(Session { client, inbox, user: who.sub, _device: lock })
    }

    fn tokens(&self) -> anyhow::Result<(Tokens, Who)> {
        if let Some(user) = &self.user {
            let bearer = Bearer { user: user.clone(), tenant: self.tenant.clone(), roles: self.role.clone() };
            let tokens = Tokens::Dev(Dev::of(&self.data), bearer);
            // The SDK would say it too, but not as plainly.
            tokens.token().map_err(anyhow::Error::msg)?;
            return Ok((tokens, Who { sub: user.clone(), tenant: self.tenant.clone() }));
        }
        let Some(token) = self.token.clone().map_or_else(from_environment, |token| Ok(Some(token)))? else {
            return Err(Failure::Usage(
                "who are you? give --token or WARDLINE_TOKEN, or --as USER with a broker started by `serve --dev`",
            )
            .into());
        };
        // Only to know our own name; whether the token is good is the broker's to say.
        let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        match payload.and_then(|json| serde_json::from_slice(&json).ok()) {
            Some(who) => Ok((Tokens::Given(token), who)),
            None => bail!("the token is not a JWT with the claims sub and tenant; get a new one"),
        }
    }
}

/// The token that whoever started this has set; an empty one is none.
fn from_environment() -> Result<Option<String>, Failure> {
    let Some(token) = std::env::var_os(TOKEN).filter(|token| !token.is_empty()) else { return Ok(None) };
    match token.into_string() {
        Ok(token) => Ok(Some(token.trim().to_owned())),
        Err(_) => Err(Failure::Usage("WARDLINE_TOKEN holds no text: set it to a token, or unset it")),
    }
}

/// Who a token says we are.
#[derive(Deserialize)]
struct Who {
    sub: String,
    tenant: String,
}

/// Where tokens come from.
enum Tokens {
    Given(String),
    Dev(Dev, Bearer),
}

impl TokenSource for Tokens {
    fn token(&self) -> Result<String, String> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::Dev(dev, bearer) => {
                let audience = Config::dev().auth_audience;
                dev.token(bearer, &audience, now(), token::TTL).map_err(|error| error.to_string())
            }
        }
    }
}

/// A conversation as it is typed: an id, or `@user` for the direct conversation with somebody.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Id(ConversationId),
    With(String),
}

impl std::str::FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('@') {
            Some("") => Err("nobody is named behind the @"),
            Some(peer) => Ok(Self::With(peer.into())),
            None => text.parse().map(Self::Id).map_err(|_| {
                "it must be @user, or an id of 32 hexadecimal digits as `wardline conversation list` shows them"
            }),
        }
    }
}

impl Named {
    /// Finds the conversation; makes the direct one with somebody if there is none yet.
    pub(super) async fn find(&self, client: &Client) -> anyhow::Result<ConversationId> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::With(peer) => Ok(client.direct(peer).await?.id),
        }
    }
}

/// `$XDG_STATE_HOME/wardline`, or `~/.local/state/wardline`.
fn state_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let folder = base.join("wardline");
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// Takes the first free device of a person's pool. Without one a random device does too, if less
/// well: it has no memory of what it received.
fn device(folder: &Path, server: &str, who: &Who, purpose: Purpose) -> (DeviceId, Option<File>) {
    // Hashed, so that no name stands in a file's name.
    let identity =
        digest::digest(&digest::SHA256, format!("{server}\0{}\0{}", who.tenant, who.sub).as_bytes());
    let identity = hex::encode(&identity.as_ref()[..8]);
    let purpose = match purpose {
        Purpose::Request => "request",
        Purpose::Receive => "receive",
    };
    for n in 0..POOL {
        let path = folder.join(format!("device-{identity}-{purpose}-{n}"));
        let Ok(file) = File::options().read(true).write(true).create(true).truncate(false).open(path) else {
            break;
        };
        if file.try_lock().is_ok()
            && let Ok(device) = kept(&file)
        {
            return (device, Some(file));
        }
    }
    (DeviceId::random(), None)
}

/// Reads the id in a file, or puts one there.
fn kept(mut file: &File) -> std::io::Result<DeviceId> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text)?;
    if let Ok(device) = text.trim().parse() {
        return Ok(device);
    }
    let device = DeviceId::random();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{device}")?;
    Ok(device)
}
