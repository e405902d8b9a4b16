//! The keys of one issuer that is asked over HTTPS: `issuers.NAME.key`, or a section
//! `[issuers."NAME"]` in the file.
//!
//! A name is the operator's own. What is not said of an issuer holds for it as `[auth]` says.
//! Issuers must not be mistaken for each other: no two have one `iss`, and no two speak for one
//! tenant.

use std::collections::BTreeSet;

use super::error::ConfigError;
use super::typed::{Config, Issuer};
use super::value::Given;
use crate::access::auth::tenants::Tenants;
use crate::access::auth::{Expected, is_name};
use crate::access::provider::{self, Account};
use crate::https::{Trust, TrustError};
use crate::limits::{ISSUERS_MAX, NAME_BYTES_MAX};

/// Longest `iss`, in bytes.
const ISSUER_BYTES_MAX: usize = 1024;
/// What they begin with.
const SECTION: &str = "issuers";

/// A key of an issuer.
struct IssuerKey {
    name: &'static str,
    takes: Takes,
}

enum Takes {
    /// Something that is written in quotes.
    Text(fn(&mut Issuer, String)),
    /// The name of a tenant.
    Tenant(fn(&mut Issuer, String)),
    Tenants(fn(&mut Issuer, BTreeSet<String>)),
    Claim(fn(&mut Issuer, String)),
    Switch(fn(&mut Issuer, bool)),
}

/// All keys of an issuer.
#[rustfmt::skip] // One line a key: it is a table.
const ISSUER_KEYS: &[IssuerKey] = &[
    IssuerKey { name: "issuer", takes: Takes::Text(|i, v| i.issuer = v) },
    IssuerKey { name: "ca", takes: Takes::Text(|i, v| i.ca = v.into()) },
    IssuerKey { name: "audience", takes: Takes::Text(|i, v| i.audience = v) },
    IssuerKey { name: "tenant", takes: Takes::Tenant(|i, v| i.tenant = v) },
    IssuerKey { name: "tenants", takes: Takes::Tenants(|i, v| i.tenants = v) },
    IssuerKey { name: "tenant_claim", takes: Takes::Claim(|i, v| i.tenant_claim = v) },
    IssuerKey { name: "roles_claim", takes: Takes::Claim(|i, v| i.roles_claim = v) },
    IssuerKey { name: "client", takes: Takes::Text(|i, v| i.client = v) },
    IssuerKey { name: "client_secret", takes: Takes::Text(|i, v| i.client_secret = v.into()) },
    IssuerKey { name: "introspect", takes: Takes::Switch(|i, v| i.introspect = v) },
];

/// Sets a key of an issuer; `None`: it is another key.
pub(super) fn set(config: &mut Config, key: &str, given: &Given) -> Option<Result<(), String>> {
    let (name, key) = split(key)?;
    let known = IssuerKey::find(key)?;
    Some(of(config, name).and_then(|issuer| known.set(issuer, given)))
}

impl IssuerKey {
    fn find(name: &str) -> Option<&'static Self> {
        ISSUER_KEYS.iter().find(|key| key.name == name)
    }

    /// Puts a value in its place.
    ///
    /// # Errors
    /// What the key takes, for people, if the value is something else.
    fn set(&self, issuer: &mut Issuer, given: &Given) -> Result<(), String> {
        let text = || given.text().map(str::to_owned);
        let done = match &self.takes {
            Takes::Text(put) => text().map(|text| put(issuer, text)),
            Takes::Tenant(put) => text().filter(|text| is_name(text)).map(|text| put(issuer, text)),
            Takes::Tenants(put) => given
                .texts()
                .filter(|texts| texts.iter().all(|text| is_name(text)))
                .map(|texts| put(issuer, texts.into_iter().collect())),
            Takes::Claim(put) => text().filter(|text| is_name(text)).map(|text| put(issuer, text)),
            Takes::Switch(put) => given.switch().map(|on| put(issuer, on)),
        };
        done.ok_or_else(|| self.allowed().to_owned())
    }

    fn allowed(&self) -> &'static str {
        match self.takes {
            Takes::Text(_) => "text in quotes",
            Takes::Tenant(_) => "the name of a tenant in quotes, 1 to 128 bytes",
            Takes::Tenants(_) => "names of tenants, like [\"north\", \"south\"], each 1 to 128 bytes",
            Takes::Claim(_) => "the name of a claim in quotes, like \"roles\", or the way to it",
            Takes::Switch(_) => "true or false",
        }
    }
}

/// Whether a section of the file is that of issuers, or of one of them.
pub(super) fn is_section(name: &str) -> bool {
    name.strip_prefix(SECTION).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The issuer and the key in `issuers.NAME.key`; `None`: it is another key.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(SECTION)?.strip_prefix('.')?.rsplit_once('.')
}

/// An issuer by the operator's name for it.
///
/// # Errors
/// What a name is, for people, if this is none, or how many there can be.
fn of<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Issuer, String> {
    if !is_name(name) {
        return Err(format!("of an issuer whose name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    if config.issuers.len() == ISSUERS_MAX && !config.issuers.contains_key(name) {
        return Err(format!("of at most {ISSUERS_MAX} issuers"));
    }
    Ok(config.issuers.entry(name.to_owned()).or_default())
}

/// Checks that every issuer has what it needs, and none can be taken for another one.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let (mut issuers, mut tenants) = (BTreeSet::from([config.auth_issuer.as_str()]), BTreeSet::new());
    for (name, issuer) in &config.issuers {
        let wrong = |what: &str| ConfigError::Issuer { name: name.clone(), what: what.to_owned() };
        issuer.check().map_err(wrong)?;
        if !issuers.insert(&issuer.issuer) {
            return Err(wrong("its issuer is that of another one, or of [auth]: take one of them out"));
        }
        if !issuer.tenants().all(|tenant| tenants.insert(tenant)) {
            return Err(wrong("it speaks for a tenant for which another one does: name each tenant once"));
        }
    }
    let pace = &config.auth_pace;
    match config.issuers.keys().next() {
        Some(name) if pace.fetch_min > pace.fetch_max || pace.fetch_max > pace.keys_kept => {
            let what = "auth.fetch_min must be at most auth.fetch_max, and that at most auth.keys_kept";
            Err(ConfigError::Issuer { name: name.clone(), what: what.into() })
        }
        _ => Ok(()),
    }
}

impl Issuer {
    fn check(&self) -> Result<(), &'static str> {
        let is_asked = self.issuer.starts_with("https://") && self.issuer.len() <= ISSUER_BYTES_MAX;
        let has_account = !self.client.is_empty() && !self.client_secret.as_os_str().is_empty();
        let rules = [
            (is_asked, "issuer must be set to its `iss`, an https:// URL: its keys are found there"),
            (
                self.tenant.is_empty() != self.tenants.is_empty(),
                "set either tenant, of which all its people are, or tenants, among which the token's claim chooses",
            ),
            (
                has_account || !self.introspect,
                "introspect needs client and client_secret: what the issuer knows the broker by",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(rule))
    }

    /// The tenants that are its own.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &str> {
        let one = (!self.tenant.is_empty()).then_some(&self.tenant);
        one.into_iter().chain(&self.tenants).map(String::as_str)
    }

    fn expected(&self, config: &Config) -> Expected {
        let or = |own: &String, all: &String| if own.is_empty() { all.clone() } else { own.clone() };
        let tenants = match self.tenant.as_str() {
            "" => Tenants::Among(self.tenants.clone()),
            tenant => Tenants::One(tenant.to_owned()),
        };
        let audience = or(&self.audience, &config.auth_audience);
        Expected {
            issuer: self.issuer.as_str().into(),
            client: or(&self.client, &audience),
            audience,
            tenants,
            leeway: config.auth_leeway,
            lifetime_max: config.auth_lifetime,
            tenant_claim: or(&self.tenant_claim, &config.auth_tenant_claim),
            roles_claim: or(&self.roles_claim, &config.auth_roles_claim),
        }
    }
}

impl Config {
    /// The issuers that are asked over HTTPS. Reads the certificates of those who certify them.
    ///
    /// # Errors
    /// [`TrustError`] if they cannot be read, with the operator's name of the issuer.
    pub fn providers(&self) -> Result<Vec<provider::Config>, (String, TrustError)> {
        let provider = |(name, issuer): (&String, &Issuer)| {
            let ca = Some(issuer.ca.as_path()).filter(|ca| !ca.as_os_str().is_empty());
            let trust = Trust::load(ca).map_err(|error| (name.clone(), error))?;
            let account = || Account { client: issuer.client.clone(), secret: issuer.client_secret.clone() };
            Ok(provider::Config {
                name: name.clone(),
                expected: issuer.expected(self),
                trust,
                introspection: issuer.introspect.then(account),
                pace: self.auth_pace,
            })
        };
        self.issuers.iter().map(provider).collect()
    }
}
