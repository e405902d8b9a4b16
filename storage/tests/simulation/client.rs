//! A client as the scheduler moves it: what it has in line, what is on its way, what it received.
//!
//! It keeps the SDK's rules: messages go in the order in which they were put in line, one that is
//! refused holds up those behind it, and after the broker's end everything without an answer goes
//! again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use wardline_storage::command::{Acknowledge, Actor, Command, Outcome, Publish, Rights, Submission};
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, UserId};
use wardline_storage::log::{Completion, Reply};
use wardline_storage::model::{Person, Priority, Text};

/// Most requests of a client without an answer.
const WINDOW: usize = 8;

/// A message as its sender knows it.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: ClientMessageId,
    pub(crate) room: ConversationId,
    pub(crate) sender: UserId,
    pub(crate) payload: Bytes,
    pub(crate) priority: Priority,
    /// Its place in the order in which it was put in line.
    pub(crate) turn: u64,
}

/// What an answer is about.
pub(crate) enum Asked {
    Publish(ClientMessageId),
    Read(ConversationId),
}

/// What an answer says.
pub(crate) enum Answer {
    Published(ClientMessageId, Seq),
    Read(ConversationId, Seq),
    /// Receipts can be behind the record; nothing changed.
    Rejected,
    Lost,
}

/// See the module's documentation.
pub(crate) struct Client {
    pub(crate) person: Person,
    /// Without an acknowledgement, oldest first; the first `sent` are on their way.
    line: VecDeque<Message>,
    sent: usize,
    asked: HashMap<u64, Asked>,
    tickets: u64,
    replies: mpsc::Sender<Completion>,
    completions: mpsc::Receiver<Completion>,
    /// Received up to here.
    pub(crate) cursors: HashMap<ConversationId, Seq>,
}

impl Client {
    pub(crate) fn new(person: Person) -> Self {
        let (replies, completions) = mpsc::channel(WINDOW);
        Self {
            person,
            line: VecDeque::new(),
            sent: 0,
            asked: HashMap::new(),
            tickets: 0,
            replies,
            completions,
            cursors: HashMap::new(),
        }
    }

    pub(crate) fn put_in_line(&mut self, message: Message) {
        self.line.push_back(message);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.line.is_empty()
    }

    /// The next message to send, and where its answer goes; `None` if there is none or the window
    /// is full.
    pub(crate) fn next(&mut self) -> Option<(Submission, Reply)> {
        let message = self.line.get(self.sent)?.clone();
        let seat = self.replies.clone().try_reserve_owned().ok()?;
        let publish = Command::Publish(Publish {
            conversation: message.room,
            client_id: message.id,
            content_type: Text::new("text/plain"),
            payload: message.payload,
            priority: message.priority,
            reply_to: None,
            expires_in: None,
        });
        Some((self.submission(publish), self.reply(seat, Asked::Publish(message.id))))
    }

    /// A receipt for what was received in a conversation.
    pub(crate) fn receipt(&mut self, room: ConversationId) -> Option<(Submission, Reply)> {
        let seat = self.replies.clone().try_reserve_owned().ok()?;
        let seq = self.cursors.get(&room).copied().filter(|seq| *seq > Seq::ZERO)?;
        let receipt = Acknowledge {
            conversation: room,
            delivered: Some(seq),
            read: Some(seq),
            ..Acknowledge::default()
        };
        Some((self.submission(Command::Acknowledge(receipt)), self.reply(seat, Asked::Read(room))))
    }

    /// The log took the message that was next.
    pub(crate) fn was_taken(&mut self) {
        self.sent += 1;
    }

    /// The log did not take it.
    pub(crate) fn was_refused(&mut self, reply: &Reply) {
        self.asked.remove(&reply.ticket);
    }

    /// Takes the next answer.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let completion = self.completions.try_recv().ok()?;
        let asked = self.asked.remove(&completion.ticket).expect("an answer to what was asked");
        Some(match (asked, completion.verdict) {
            (_, Err(_)) => Answer::Lost,
            (Asked::Publish(id), Ok(Ok(Outcome::Published { seq, .. }))) => {
                let place = self.line.iter().position(|message| message.id == id);
                if let Some(place) = place {
                    self.line.remove(place);
                    self.sent -= 1;
                }
                Answer::Published(id, seq)
            }
            (Asked::Read(room), Ok(Ok(Outcome::Acknowledged { read, .. }))) => Answer::Read(room, read),
            (Asked::Read(_), Ok(Err(_))) => Answer::Rejected,
            (_, verdict) => panic!("unexpected verdict {verdict:?}"),
        })
    }

    /// The broker's end: no answer comes any more, and everything goes again.
    pub(crate) fn start_over(&mut self) {
        (self.replies, self.completions) = mpsc::channel(WINDOW);
        self.asked.clear();
        self.sent = 0;
    }

    pub(crate) fn submission(&self, command: Command) -> Submission {
        Submission {
            actor: Arc::new(Actor {
                tenant: TenantId::new([1; 16]),
                user: self.person.user,
                name: self.person.name.clone(),
                device: DeviceId::new(*self.person.user.as_bytes()),
                rights: Rights::default(),
            }),
            command,
        }
    }

    fn reply(&mut self, seat: mpsc::OwnedPermit<Completion>, asked: Asked) -> Reply {
        self.tickets += 1;
        self.asked.insert(self.tickets, asked);
        Reply { ticket: self.tickets, seat }
    }
}
