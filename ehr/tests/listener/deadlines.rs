//! Senders that take too long, or too much.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::sender::{LONG, Noting, Running, Sender, block, message};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_sink_that_takes_too_long_is_answered_with_a_retry() {
    let sink = Noting::passing(0);
    let running = Running::start(sink.clone(), |settings| settings.limits.apply = SHORT).await;
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&message("1"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AE 1"));
    sink.gate.add_permits(1);
    sender.send(block(&message("1"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
}

#[tokio::test]
async fn a_connection_that_is_mute_is_closed() {
    let running = Running::start(Noting::passing(9), |settings| settings.limits.idle = SHORT).await;
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&message("1"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    assert_eq!(sender.hear_code().await, None);
}

#[tokio::test]
async fn a_message_that_trickles_in_is_not_waited_for() {
    let running = Running::start(Noting::passing(9), |settings| settings.limits.message = SHORT).await;
    let mut sender = Sender::to(running.address).await;
    let mut ticks = tokio::time::interval(SHORT / 6);
    let began = std::time::Instant::now();
    sender.send("\x0bMSH|^~\\&").await;
    // Each byte comes soon after the one before, but all of them too late.
    let ended = loop {
        tokio::select! {
            biased;
            answer = sender.hear() => break answer,
            _ = ticks.tick() => {}
        }
        sender.send("x").await;
        if began.elapsed() > LONG {
            break Some("it was waited for".into());
        }
    };
    assert_eq!(ended, None);
}

#[tokio::test]
async fn a_sender_that_never_reads_its_answers_is_let_go() {
    let sink = Noting::passing(usize::MAX >> 3);
    let running = Running::start(sink.clone(), |settings| settings.limits.write = SHORT).await;
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_recv_buffer_size(4096).expect("it may be small");
    let mut stream = socket.connect(running.address).await.expect("it listens");
    let many = block(&message("1")).repeat(200);
    let sending = async { while stream.write_all(many.as_bytes()).await.is_ok() {} };
    timeout(3 * LONG, sending).await.expect("the connection is ended");
    // Others are served.
    let mut sender = Sender::to(running.address).await;
    sender.send(block(&message("2"))).await;
    assert_eq!(sender.hear_code().await.as_deref(), Some("AA 2"));
}

#[tokio::test]
async fn connections_are_bounded() {
    let running = Running::start(Noting::passing(9), |settings| settings.limits.connections_max = 2).await;
    let mut two = [Sender::to(running.address).await, Sender::to(running.address).await];
    for sender in &mut two {
        sender.send(block(&message("1"))).await;
        assert_eq!(sender.hear_code().await.as_deref(), Some("AA 1"));
    }
    let mut third = Sender::to(running.address).await;
    assert_eq!(third.hear_code().await, None);
    drop(two);
    // A place is free again once the end of a connection was seen.
    for _ in 0..100 {
        let mut sender = Sender::to(running.address).await;
        sender.send(block(&message("1"))).await;
        if sender.hear_code().await.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no place became free");
}

#[tokio::test]
async fn bytes_in_hand_are_bounded_and_given_back() {
    let running = Running::start(Noting::passing(9), |settings| {
        settings.limits.in_hand_bytes_max = 512 << 10;
        settings.rules.bounds.message_bytes_max = 256 << 10;
    })
    .await;
    let half = format!("\x0b{}ZZZ|{}", message("1"), "x".repeat(250 << 10));
    // Two messages that do not end take all the room that there is.
    let (mut one, mut other) = (Sender::to(running.address).await, Sender::to(running.address).await);
    one.send(&half).await;
    other.send(&half).await;
    tokio::time::sleep(SHORT).await;
    let mut third = Sender::to(running.address).await;
    third.send(&half).await;
    third.send("\r\x1c\r").await;
    assert!(third.hears_nothing().await);
    // Small ones need none of it.
    let mut small = Sender::to(running.address).await;
    small.send(block(&message("2"))).await;
    assert_eq!(small.hear_code().await.as_deref(), Some("AA 2"));
    drop(one);
    assert_eq!(third.hear_code().await.as_deref(), Some("AA 1"));
}

#[tokio::test]
async fn who_finds_no_room_in_time_is_let_go() {
    let running = Running::start(Noting::passing(9), |settings| {
        settings.limits.in_hand_bytes_max = 0;
        settings.limits.message = 2 * SHORT;
        settings.rules.bounds.message_bytes_max = 64 << 10;
    })
    .await;
    let half = format!("\x0b{}ZZZ|{}", message("1"), "x".repeat(60 << 10));
    let mut senders = Vec::new();
    for _ in 0..4 {
        let mut sender = Sender::to(running.address).await;
        sender.send(&half).await;
        senders.push(sender);
    }
    // None of them ends its message, so all are closed, whether they had room or waited for it.
    for sender in &mut senders {
        assert_eq!(sender.hear_code().await, None);
    }
}

#[tokio::test]
async fn what_is_no_mllp_ends_the_connection() {
    let running = Running::start(Noting::passing(9), |_| {}).await;
    let mut sender = Sender::to(running.address).await;
    sender.send("GET / HTTP/1.1\r\n".repeat(10_000)).await;
    assert_eq!(sender.hear_code().await, None);
}
