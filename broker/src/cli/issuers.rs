//! The issuers of a configuration that are asked over HTTPS: read for `serve`, tried for
//! `check-config` and `doctor`.

use anyhow::Context as _;
use tokio::task::JoinSet;
use wardline_broker::access::provider::{self, Fetched, ProviderError};
use wardline_broker::config::Config;

/// What came of trying an issuer, with the operator's name for it.
type Tried = (String, Result<Fetched, ProviderError>);

/// As the broker needs them.
pub(super) fn of(config: &Config) -> anyhow::Result<Vec<provider::Config>> {
    config.providers().map_err(|(name, error)| {
        let what = format!("[issuers.{name:?}]: its certificate authority (ca) cannot be used");
        anyhow::Error::from(error).context(what)
    })
}

/// Asks each for its keys, all at the same time.
pub(super) fn try_all(config: &Config) -> anyhow::Result<Vec<Tried>> {
    let providers = of(config)?;
    if providers.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tried = runtime.block_on(async {
        let mut asked = JoinSet::new();
        for provider in providers {
            asked.spawn(async move {
                let tried = provider::try_out(&provider).await;
                (provider.name, tried)
            });
        }
        let mut tried = Vec::new();
        while let Some(one) = asked.join_next().await {
            tried.push(one.context("asking an issuer failed")?);
        }
        anyhow::Ok(tried)
    });
    let mut tried = tried?;
    tried.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(tried)
}
