//! Which broker is measured: `dev:DIR`, or an address with the files that vouch for it. A name is
//! as good as an IP address.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use wardline_client::Address;

use crate::dialler::Server;
use crate::token::Claims;

/// Where a broker with development keys listens.
const DEV_ADDRESS: &str = "127.0.0.1:4433";

/// Which broker is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// `dev:DIR[@HOST:PORT]`: the broker that `wardline serve --dev` runs with the data folder DIR;
    /// or its HOST:PORT, with --ca and --signing-key.
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// Certificate authority that signed the broker's certificate (PEM).
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the broker's certificate must have. [default: the target's name, or localhost]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Key to sign everybody's tokens with (Ed25519, PKCS#8 PEM).
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    #[command(flatten)]
    claims: Claims,
}

impl Target {
    /// Finds the files and the address.
    ///
    /// # Errors
    /// If it is no address, or a file is not there.
    pub fn server(&self) -> anyhow::Result<Server> {
        let (address, folder) = match self.target.strip_prefix("dev:") {
            Some(rest) => {
                let (folder, address) = rest.rsplit_once('@').unwrap_or((rest, DEV_ADDRESS));
                (address, Some(dev_folder(Path::new(folder))?))
            }
            None => (self.target.as_str(), None),
        };
        let server: Address =
            address.parse().context("--target is HOST:PORT, or `dev:` and a folder of development keys")?;
        let file = |given: &Option<PathBuf>, name: &str, flag: &str| match (given, &folder) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(folder)) => Ok(folder.join(name)),
            (None, None) => bail!("a target that is an address needs {flag}; or name it as `dev:DIR`"),
        };
        Ok(Server {
            server,
            ca: file(&self.ca, "ca.pem", "--ca")?,
            server_name: self.server_name.clone(),
            signing_key: file(&self.signing_key, "token-key.pem", "--signing-key")?,
            claims: self.claims.clone(),
        })
    }
}

/// The folder with the keys: in the data folder, or the one that was named.
fn dev_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let within = folder.join("dev");
    for candidate in [&within, folder] {
        if candidate.join("ca.pem").exists() {
            return Ok(candidate.to_owned());
        }
    }
    bail!(
        "there are no development keys in {}; start `wardline serve --dev --data {}` once",
        within.display(),
        folder.display()
    )
}
