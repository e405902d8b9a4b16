//! Refusals: every code that the broker answers with, what to do about it, and how long to wait.
//!
//! The one table of codes. Numbers are those of `wardline.v1.ErrorCode`; they also close
//! connections and reset streams. Texts never contain content, names or tokens.

use std::borrow::Cow;
use std::time::Duration;

use wardline_storage::command::Rejection;
use wardline_storage::id::Seq;

macro_rules! codes {
    ($($name:ident = $number:literal, $label:literal, $action:literal;)*) => {
        /// Why something was refused or ended, stably.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub(crate) enum Code { $($name = $number),* }

        impl Code {
            /// All of them, in the order of their numbers.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// For metrics.
            pub(crate) const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }

            /// What to do about it, for people.
            pub(crate) const fn action(self) -> &'static str {
                match self { $(Self::$name => $action),* }
            }
        }
    };
}

codes! {
    BadFrame = 1, "bad_frame", "Update the client; if it is current, report this.";
    FrameTooLarge = 2, "frame_too_large", "Send smaller frames: Welcome.limits has the bound.";
    UnsupportedVersion = 3, "unsupported_version", "Use a client that speaks this broker's protocol version.";
    Unauthenticated = 4, "unauthenticated", "Get a token from the issuer that this broker trusts.";
    TokenExpired = 5, "token_expired", "Get a new token and connect again.";
    HelloRequired = 6, "hello_required", "Send Hello once, as the first frame of the first stream.";
    HelloTimeout = 7, "hello_timeout", "Connect again and send Hello at once.";
    FrameTimeout = 8, "frame_timeout", "Send each frame whole; open a new lane.";
    SlowReader = 9, "slow_reader", "Read the streams faster, then connect again: nothing is lost.";
    InvalidArgument = 10, "invalid_argument", "Correct the field that the text names.";
    PayloadTooLarge = 11, "payload_too_large", "Send less, or a reference: Welcome.limits has the bound.";
    PageTooLarge = 12, "page_too_large", "Ask for fewer entries: Welcome.limits has the bound.";
    Revoked = 13, "revoked", "Ask the operator; if access is given back, or to tokens of later, connect with a new token.";
    NotFound = 20, "not_found", "Check the id, and that you are a member of the conversation.";
    Forbidden = 21, "forbidden", "Ask an admin of the conversation, or for a token with the role that it takes.";
    LimitExceeded = 22, "limit_exceeded", "Make room first, or start another conversation.";
    UrgencySpent = 24, "urgency_spent", "Send it as routine, under the same id; the delay says when it may be urgent again.";
    Conflict = 25, "conflict", "Correct the record at its source; sending this again does not help.";
    Erased = 26, "erased", "Nothing: it was erased after the discharge, for good.";
    ReceiptBeyondHead = 30, "receipt_beyond_head", "Acknowledge only what was delivered.";
    ReceiptBackwards = 31, "receipt_backwards", "Go on from the watermark on record.";
    Retry = 40, "retry", "Send it again after the delay.";
    StorageFull = 41, "storage_full", "Wait; the operator must make room on the disk.";
    ShuttingDown = 42, "shutting_down", "Connect again after the delay.";
    Unavailable = 43, "unavailable", "Connect again after the delay; what was not acknowledged, send again.";
    Superseded = 44, "superseded", "Use the newer connection of this device.";
    ResourceExhausted = 45, "resource_exhausted", "Wait for the delay, and for answers that are owed, then send it again.";
    Internal = 50, "internal", "Try again; if it stays, report it with the session's id.";
}

impl Code {
    /// Its number on the wire.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// Its index in [`Code::ALL`], for tables of metric handles.
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|code| *code == self).expect("every code is in ALL")
    }

    /// As a QUIC application error code (RFC 9000, section 20.2).
    pub(crate) fn quic(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self.number())
    }
}

/// An answer that something was refused, or why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why, stably.
    pub(crate) code: Code,
    /// What was wrong, for people.
    pub(crate) text: Cow<'static, str>,
    /// How long to wait; zero: waiting does not help.
    pub(crate) retry_after: Duration,
    /// The watermark on record, with [`Code::ReceiptBackwards`].
    pub(crate) current: Seq,
}

impl Refusal {
    /// A refusal for which waiting does not help.
    pub(crate) fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), retry_after: Duration::ZERO, current: Seq::ZERO }
    }

    /// A field outside its bounds.
    pub(crate) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, text)
    }

    /// The one answer for what does not exist and for what the caller may not see.
    pub(crate) fn not_found() -> Self {
        Self::new(Code::NotFound, "no such conversation or message, or you may not see it")
    }

    /// A defect of ours; the log has the details.
    pub(crate) fn internal() -> Self {
        Self::new(Code::Internal, "the broker could not do this")
    }

    /// With a delay.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.retry_after = delay;
        self
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection {
            Rejection::NotFound => return Self::not_found(),
            Rejection::Forbidden | Rejection::NotBroadcaster | Rejection::NotRegistrar => Code::Forbidden,
            Rejection::NotMember => Code::NotFound,
            Rejection::RetentionMin { .. } => {
                return Self::invalid(format!("retention_ms: {rejection}, so the operator says"));
            }
            Rejection::ExpiryMin { .. } => {
                return Self::invalid(format!("expires_in_ms: {rejection}, so the operator says"));
            }
            Rejection::MembersMax { .. }
            | Rejection::IdentifiersMax { .. }
            | Rejection::MergesMax { .. }
            | Rejection::StaffMax { .. } => Code::LimitExceeded,
            Rejection::OtherPatient | Rejection::MergeCircle => Code::Conflict,
            Rejection::NoIdentifier | Rejection::NoPlace => Code::InvalidArgument,
            Rejection::ReplyTarget => {
                return Self::invalid("reply_to_sequence: the message replied to does not exist");
            }
            Rejection::NotUrgent => {
                return Self::invalid(
                    "delivered_only, read_only: only urgent messages are acknowledged singly",
                );
            }
            Rejection::RetentionBusy => {
                return Self::new(Code::Retry, rejection.to_string()).after(Duration::from_secs(1));
            }
            Rejection::ReceiptBeyondHead { .. } => Code::ReceiptBeyondHead,
            Rejection::ReceiptBackwards { current } => {
                return Self { current, ..Self::new(Code::ReceiptBackwards, rejection.to_string()) };
            }
            _ => return Self::internal(),
        };
        Self::new(code, rejection.to_string())
    }
}
