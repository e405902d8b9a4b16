//! The SDK's behaviour against a broker whose every answer is given by the test.

#[cfg(test)]
mod names;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod support;
