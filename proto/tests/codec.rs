//! The frame codec by example: what is whole, what is not yet, what never will be.

use bytes::{Bytes, BytesMut};
use wardline_proto::frame::{self, FrameError};
use wardline_proto::v1::{ClientFrame, Publish, PushFrame, client_frame::Request};

const FRAME_BYTES_MAX: usize = 1024;

fn split(bytes: &[u8]) -> Result<Option<Bytes>, FrameError> {
    frame::split(&mut BytesMut::from(bytes), FRAME_BYTES_MAX)
}

#[test]
fn a_length_has_one_spelling_of_at_most_five_bytes() {
    for incomplete in [&[][..], &[0x80], &[0xff, 0xff], &[0x80, 0x80, 0x80, 0x80], &[2, 0]] {
        assert_eq!(split(incomplete), Ok(None), "{incomplete:x?}");
    }
    for malformed in
        [&[0x80, 0][..], &[0x83, 0], &[0x81, 0x80, 0], &[0x80, 0x80, 0x80, 0x80, 0], &[0x80; 5], &[0xff; 64]]
    {
        assert_eq!(split(malformed), Err(FrameError::Length), "{malformed:x?}");
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_from_its_length_alone() {
    let too_large = |length| Err(FrameError::TooLarge { length, max: FRAME_BYTES_MAX });
    assert_eq!(split(&[0x80, 0x08]), Ok(None), "exactly the limit");
    assert_eq!(split(&[0x81, 0x08]), too_large(1025));
    assert_eq!(split(&[0xff, 0xff, 0xff, 0xff, 0x0f]), too_large(u64::from(u32::MAX)));
    assert_eq!(split(&[0xff, 0xff, 0xff, 0xff, 0x7f]), too_large((1 << 35) - 1));
}

#[test]
fn an_empty_frame_is_a_message_of_defaults() {
    let mut wire = BytesMut::new();
    frame::encode(&PushFrame::default(), &mut wire);
    assert_eq!(&wire[..], [0]);
    let content = frame::split(&mut wire, 0).expect("well-formed").expect("whole");
    assert_eq!(frame::decode::<PushFrame>(content), Ok(PushFrame::default()));
    assert!(wire.is_empty());
}

#[test]
fn a_payload_is_a_slice_of_the_received_buffer() {
    let publish = Publish { payload: Bytes::from_static(&[7; 600]), ..Publish::default() };
    let mut wire = BytesMut::new();
    frame::encode(&ClientFrame { request_id: 1, request: Some(Request::Publish(publish)) }, &mut wire);
    let received = wire.as_ptr_range();

    let content = frame::split(&mut wire, FRAME_BYTES_MAX).expect("well-formed").expect("whole");
    let decoded: ClientFrame = frame::decode(content).expect("well-formed");
    let Some(Request::Publish(publish)) = decoded.request else { panic!("not a publish") };
    let payload = publish.payload.as_ptr_range();
    assert!(received.start <= payload.start && payload.end <= received.end, "the payload was copied");
}
