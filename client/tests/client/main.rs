//! The SDK's behaviour against a broker whose every answer is given by the test.

#[cfg(test)]
mod sessions;
#[cfg(test)]
mod support;
