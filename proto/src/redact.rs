//! `Debug` of the messages that carry tokens or content: lengths only, so that no log can leak them.

use std::fmt;

use crate::v1::{Hello, Message, Publish, Renew};

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("protocol_version", &self.protocol_version).finish_non_exhaustive()
    }
}

impl fmt::Debug for Renew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renew").finish_non_exhaustive()
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("payload_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("payload_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}
