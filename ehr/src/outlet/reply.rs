//! What a sender is answered when the broker did not take what its message came to.
//!
//! AR only where the message itself is to blame, so that no sending again helps. What the bridge or
//! the broker is to blame for, a missing role among it, is AE: the sender keeps its message.

use wardline_client::{Code, RequestError};

use crate::hl7::ack::{Objection, Reply};
use crate::hl7::flaw;

/// The answer, and a word for it that is one of a few.
pub(super) fn reply(error: &RequestError) -> (Reply, &'static str) {
    let refusal = match error {
        RequestError::Refused(refusal) => refusal,
        _ => {
            let text = "the broker did not answer: send it again; what was done already is not done twice";
            return (Reply::retry(text), "away");
        }
    };
    let refused =
        |code: flaw::Code, text: &str| Reply::Refused(Objection { code, at: None, text: text.to_owned() });
    match refusal.code {
        Code::InvalidArgument => {
            (refused(flaw::Code::DataType, "the broker cannot take a value of it"), "invalid")
        }
        Code::LimitExceeded => (
            refused(
                flaw::Code::Internal,
                "there are more identifiers or merges of this patient than are kept",
            ),
            "limit",
        ),
        Code::Conflict => (
            refused(
                flaw::Code::DuplicateKey,
                "this encounter is another patient's, or patients would be merged in a circle",
            ),
            "conflict",
        ),
        Code::Erased => (
            refused(
                flaw::Code::UnknownKey,
                "what is known of this encounter was erased: it cannot change any more",
            ),
            "erased",
        ),
        Code::NotFound => (refused(flaw::Code::UnknownKey, "what it is about is not known"), "unknown"),
        Code::Forbidden | Code::Unauthenticated | Code::TokenExpired | Code::Revoked => (
            Reply::retry("the bridge may not do this now: its token must have the role registrar"),
            "forbidden",
        ),
        _ => (Reply::retry("the broker cannot take it now: send it again"), "busy"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wardline_client::Refusal;

    use super::*;
    use crate::outlet::metrics::OUTCOMES;

    fn answered(code: Code) -> Reply {
        let (text, action) = ("ZEBRA".to_owned(), "ZEBRA".to_owned());
        let refusal = Refusal { code, text, action, retry_after: Duration::ZERO, current_sequence: 0 };
        let (reply, word) = reply(&RequestError::Refused(refusal));
        assert!(OUTCOMES.contains(&word), "{word}");
        reply
    }

    #[test]
    fn only_what_the_message_is_to_blame_for_is_refused() {
        let blamed =
            [Code::InvalidArgument, Code::LimitExceeded, Code::Conflict, Code::Erased, Code::NotFound];
        let known: Vec<Code> = (0..200).filter_map(|number| Code::try_from(number).ok()).collect();
        assert!(known.len() > 20, "{known:?}");
        for code in known {
            let objection = match answered(code) {
                Reply::Refused(objection) if blamed.contains(&code) => objection,
                Reply::Retry(objection) if !blamed.contains(&code) => objection,
                other => panic!("{code:?}: {other:?}"),
            };
            // What the broker said is for the bridge's operator.
            assert!(!objection.text.contains("ZEBRA"));
        }
        for error in [RequestError::Unknown("lost".into()), RequestError::Closed("closed".into())] {
            assert!(matches!(reply(&error), (Reply::Retry(_), "away")));
            assert!(OUTCOMES.contains(&"away"));
        }
    }
}
