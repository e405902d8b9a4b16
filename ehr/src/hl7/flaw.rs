//! What is wrong with a message: a reason, a place, and the section of HL7 v2.5.1 with the rule.
//!
//! Says what is wrong, where, and what to do; never what the message says. A flaw does not pass by
//! being sent again: who sends has to act. [`Code`] is how HL7 numbers reasons in answers (table
//! 0357).

use std::fmt;

use thiserror::Error;

use super::place::{Name, Place};

/// Error codes of HL7 table 0357.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// Segments are missing, or in the wrong order.
    SegmentSequence,
    /// A field is missing.
    RequiredField,
    /// A field is not what its type says.
    DataType,
    /// A value is not in its table.
    TableValue,
    /// A type of message that is not taken here.
    MessageType,
    /// An event that is not taken here.
    EventCode,
    /// Test messages where they are not taken, or the reverse.
    ProcessingId,
    /// Not a version of HL7 version 2.
    VersionId,
    /// Something is referred to that is not known.
    UnknownKey,
    /// Something is there already.
    DuplicateKey,
    /// Something is in use.
    Locked,
    /// Nothing that the message is to blame for, or no code of its own.
    Internal,
}

impl Code {
    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Self::SegmentSequence => 100,
            Self::RequiredField => 101,
            Self::DataType => 102,
            Self::TableValue => 103,
            Self::MessageType => 200,
            Self::EventCode => 201,
            Self::ProcessingId => 202,
            Self::VersionId => 203,
            Self::UnknownKey => 204,
            Self::DuplicateKey => 205,
            Self::Locked => 206,
            Self::Internal => 207,
        }
    }

    /// Its name in the table.
    pub fn text(self) -> &'static str {
        match self {
            Self::SegmentSequence => "Segment sequence error",
            Self::RequiredField => "Required field missing",
            Self::DataType => "Data type error",
            Self::TableValue => "Table value not found",
            Self::MessageType => "Unsupported message type",
            Self::EventCode => "Unsupported event code",
            Self::ProcessingId => "Unsupported processing id",
            Self::VersionId => "Unsupported version id",
            Self::UnknownKey => "Unknown key identifier",
            Self::DuplicateKey => "Duplicate key identifier",
            Self::Locked => "Application record locked",
            Self::Internal => "Application internal error",
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum Reason {
    /// The message does not begin with MSH.
    #[error("a message must begin with an MSH segment")]
    NoHeader,
    /// There is a second MSH.
    #[error("a message has one MSH segment: send each message by itself, or as a batch")]
    SecondHeader,
    /// MSH ends within its delimiters, or they cannot be told apart.
    #[error("MSH-1 and MSH-2 must be different printable ASCII characters, no letters, digits or spaces")]
    Delimiters,
    /// A line is no segment.
    #[error("a segment must begin with a name of three capital letters or digits, then a field separator")]
    SegmentName,
    /// Over the bound on bytes.
    #[error("the message is longer than {max} bytes: send documents by reference, or raise the bound")]
    TooLong {
        /// As allowed.
        max: usize,
    },
    /// Over the bound on segments.
    #[error("the message has more than {max} segments of this sort: send it in parts")]
    TooManySegments {
        /// As allowed.
        max: usize,
    },
    /// Over the bound on fields.
    #[error("a segment has more than {max} fields")]
    TooManyFields {
        /// As allowed.
        max: usize,
    },
    /// Over the bound on repetitions.
    #[error("a field has more than {max} repetitions")]
    TooManyRepetitions {
        /// As allowed.
        max: usize,
    },
    /// Over the bound of a value that names something.
    #[error("a value that names something is longer than {max} bytes")]
    ValueTooLong {
        /// As allowed.
        max: usize,
    },
    /// UTF-16 or UTF-32.
    #[error("UTF-16 and UTF-32 are not taken: send UTF-8, and say UNICODE UTF-8 in MSH-18")]
    WideCharset,
    /// A character set that is not read here.
    #[error("this character set is not read: use ASCII, 8859/n or UNICODE UTF-8")]
    UnknownCharset,
    /// Bytes over 127 where none may be.
    #[error(
        "a byte over 127, and MSH-18 does not say what it means: state the character set, or set one for this sender"
    )]
    UnstatedCharset,
    /// Bytes that are not in the character set that was stated.
    #[error("bytes that are not in the character set of MSH-18: state the one that they are in")]
    NotInCharset,
    /// A segment that must be there is not.
    #[error("there is no {0} segment")]
    SegmentMissing(Name),
    /// A segment that may be there once is there twice.
    #[error("there are two {0} segments where one may be")]
    SegmentTwice(Name),
    /// A segment where it may not be.
    #[error("this segment must not stand here")]
    SegmentOrder,
    /// A field that must be there is not.
    #[error("a required field has no value")]
    FieldMissing,
    /// Not a time.
    #[error("not a time: write YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]")]
    Time,
    /// A time that names no day on which anything can have happened.
    #[error("the time must be given at least to the day")]
    TimeTooCoarse,
    /// Ahead of our clock.
    #[error("the event lies in the future: set the sender's clock, or its time zone here")]
    Future,
    /// No patient identifier.
    #[error("the patient has no identifier")]
    NoPatient,
    /// No visit number.
    #[error("the visit has no number: give PV1-19, PV1-50 or PID-18")]
    NoVisit,
    /// Nothing is merged.
    #[error("a patient is merged with themself: MRG-1 must name another than PID-3")]
    MergeWithSelf,
    /// Merged in a circle.
    #[error("patients are merged in a circle: whoever stays must not be merged away")]
    MergeCircle,
    /// The type of message is not taken.
    #[error("this type of message is not taken here")]
    MessageType,
    /// The event is not taken.
    #[error("this event is not taken here")]
    EventCode,
    /// The processing id is not taken.
    #[error("messages with this processing id are not taken here")]
    ProcessingId,
    /// Not HL7 version 2.
    #[error("this version is not read: send HL7 version 2")]
    VersionId,
    /// Its end never came.
    #[error("the message was cut off: end it with the bytes 1C 0D")]
    CutOff,
    /// A document whose bytes cannot be read.
    #[error("the document's data is not in the encoding that it states")]
    Document,
    /// The count of a batch or file is not that of what is in it.
    #[error("the batch does not have as many messages as its trailer says")]
    BatchCount,
}

impl Reason {
    /// Its number in answers.
    pub fn code(self) -> Code {
        match self {
            Self::NoHeader
            | Self::SecondHeader
            | Self::SegmentName
            | Self::SegmentMissing(_)
            | Self::SegmentTwice(_)
            | Self::SegmentOrder
            | Self::BatchCount => Code::SegmentSequence,
            Self::FieldMissing | Self::NoPatient | Self::NoVisit => Code::RequiredField,
            Self::Delimiters
            | Self::ValueTooLong { .. }
            | Self::UnstatedCharset
            | Self::NotInCharset
            | Self::Time
            | Self::TimeTooCoarse
            | Self::Future
            | Self::Document => Code::DataType,
            Self::WideCharset | Self::UnknownCharset => Code::TableValue,
            Self::MergeWithSelf | Self::MergeCircle => Code::DuplicateKey,
            Self::MessageType => Code::MessageType,
            Self::EventCode => Code::EventCode,
            Self::ProcessingId => Code::ProcessingId,
            Self::VersionId => Code::VersionId,
            Self::TooLong { .. }
            | Self::TooManySegments { .. }
            | Self::TooManyFields { .. }
            | Self::TooManyRepetitions { .. }
            | Self::CutOff => Code::Internal,
        }
    }

    /// A short name of it: a label for counting.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoHeader => "no-header",
            Self::SecondHeader => "second-header",
            Self::Delimiters => "delimiters",
            Self::SegmentName => "segment-name",
            Self::TooLong { .. } => "too-long",
            Self::TooManySegments { .. } => "too-many-segments",
            Self::TooManyFields { .. } => "too-many-fields",
            Self::TooManyRepetitions { .. } => "too-many-repetitions",
            Self::ValueTooLong { .. } => "value-too-long",
            Self::WideCharset => "wide-charset",
            Self::UnknownCharset => "unknown-charset",
            Self::UnstatedCharset => "unstated-charset",
            Self::NotInCharset => "not-in-charset",
            Self::SegmentMissing(_) => "segment-missing",
            Self::SegmentTwice(_) => "segment-twice",
            Self::SegmentOrder => "segment-order",
            Self::FieldMissing => "field-missing",
            Self::Time => "time",
            Self::TimeTooCoarse => "time-too-coarse",
            Self::Future => "future",
            Self::NoPatient => "no-patient",
            Self::NoVisit => "no-visit",
            Self::MergeWithSelf => "merge-with-self",
            Self::MergeCircle => "merge-circle",
            Self::MessageType => "message-type",
            Self::EventCode => "event-code",
            Self::ProcessingId => "processing-id",
            Self::VersionId => "version-id",
            Self::CutOff => "cut-off",
            Self::Document => "document",
            Self::BatchCount => "batch-count",
        }
    }

    /// The section with the rule, if that is the same wherever it is broken.
    fn section(self) -> Option<&'static str> {
        Some(match self {
            Self::NoHeader | Self::SecondHeader => "2.5.1",
            Self::Delimiters => "2.5.4",
            Self::SegmentName => "2.5.2",
            Self::TooLong { .. } | Self::TooManySegments { .. } => "2.10.2",
            Self::TooManyFields { .. } => "2.5.3",
            Self::TooManyRepetitions { .. } => "2.5.3.5",
            Self::ValueTooLong { .. } => "2.5.3.2",
            Self::WideCharset | Self::UnknownCharset | Self::UnstatedCharset | Self::NotInCharset => {
                "2.15.9.18"
            }
            Self::Time | Self::TimeTooCoarse => "2.A.22",
            Self::NoPatient => "3.4.2.3",
            Self::NoVisit => "3.4.3.19",
            Self::MergeWithSelf => "3.4.9.1",
            Self::MergeCircle => "3.3.40",
            Self::MessageType | Self::EventCode => "2.15.9.9",
            Self::ProcessingId => "2.15.9.11",
            Self::VersionId => "2.15.9.12",
            Self::CutOff => "2.4",
            Self::Document => "2.A.24",
            Self::BatchCount => "2.10.3",
            Self::SegmentMissing(_)
            | Self::SegmentTwice(_)
            | Self::SegmentOrder
            | Self::FieldMissing
            | Self::Future => return None,
        })
    }
}

/// A message that cannot be taken, and why. Its sender must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct Flaw {
    /// What is wrong.
    pub reason: Reason,
    /// Where.
    pub at: Place,
    /// The section of the event or message in question, for what is wrong with its segments.
    about: Option<&'static str>,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (HL7 v2.5.1, section {})", self.at, self.reason, self.section())
    }
}

impl Flaw {
    /// Something is wrong here.
    pub fn new(reason: Reason, at: Place) -> Self {
        Self { reason, at, about: None }
    }

    /// Something is wrong with the segments of a message that this section describes.
    pub fn about(section: &'static str, reason: Reason, at: Place) -> Self {
        Self { reason, at, about: Some(section) }
    }

    /// The section of HL7 v2.5.1 in which the rule stands.
    pub fn section(&self) -> String {
        let fixed = self.about.or_else(|| self.reason.section()).map(str::to_owned);
        fixed.or_else(|| self.at.section()).unwrap_or_else(|| "2.6".to_owned())
    }
}
