//! Talks with one other person from the terminal: what you type is published, what they type
//! appears, and their receipts with it. Lives through restarts of the broker.
//!
//! ```sh
//! wardline serve --dev                                              # in one terminal
//! WARDLINE_TOKEN=$(wardline token --user alice) \
//!     cargo run --release -p wardline-client --example chat -- 127.0.0.1:4433 data/dev/ca.pem bob
//! ```

use std::io::{self, BufRead, Write};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use wardline_client::{
    Address, Body, Client, ConversationId, DeviceId, Incoming, Options, Outgoing, ReceiptKind, Trust, connect,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let mut argument = || arguments.next().context("usage: WARDLINE_TOKEN=... chat BROKER CA_PEM PEER");
    let address: Address = argument()?.parse().context("BROKER must be HOST:PORT")?;
    let authority = argument()?;
    let authority = std::fs::read(&authority).with_context(|| format!("cannot read {authority}"))?;
    let peer = argument()?;
    let token = std::env::var("WARDLINE_TOKEN").context("WARDLINE_TOKEN must hold a token")?;

    // A real application makes its device's id once and keeps it, to resume where it stopped.
    let name = address.server_name();
    let options = Options::new(address, name, Trust::Pem(authority), token, DeviceId::random());
    let (client, mut inbox) = connect(options).await?;
    let conversation = client.direct(&peer).await?.id;

    let mut lines = lines();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => say(&client, conversation, line).await?,
                None => break,
            },
            incoming = inbox.next() => match incoming {
                Some(incoming) => show(&client, conversation, incoming)?,
                None => break,
            },
        }
    }
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

async fn say(client: &Client, conversation: ConversationId, line: String) -> anyhow::Result<()> {
    let ack = client.publish(Outgoing::text(conversation, line)).await?;
    writeln!(io::stdout(), "  #{} is safe", ack.sequence)?;
    Ok(())
}

fn show(client: &Client, conversation: ConversationId, incoming: Incoming) -> io::Result<()> {
    match incoming {
        Incoming::Entry(entry) if entry.conversation == conversation => {
            if let Body::Message { payload, .. } = &entry.body {
                // Escaped: no text may move the cursor, or begin a line that looks like another's.
                let text = String::from_utf8_lossy(payload);
                let (sender, text) = (entry.sender.escape_debug(), text.escape_debug());
                writeln!(io::stdout(), "#{} {sender}: {text}", entry.sequence)?;
            }
            client.read(entry.conversation, entry.sequence);
        }
        Incoming::Receipt(receipt) if receipt.conversation == conversation => {
            let what = match receipt.kind {
                ReceiptKind::Delivered => "has it",
                ReceiptKind::Read => "has read it",
            };
            writeln!(io::stdout(), "  #{}: {} {what}", receipt.sequence, receipt.user.escape_debug())?;
        }
        _ => {}
    }
    Ok(())
}

/// Reads standard input on a thread of its own, since it blocks.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
