//! `conversation`: create, list and change conversations.
//!
//! `create` prints the id and nothing else, so that a shell can take it. Who may do what is the
//! broker's to say.

use std::io::{self, Write};
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use wardline_client::{NewConversation, Role};

use super::session::{Connection, Named, Purpose, Session};
use super::{show, time};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes a conversation and prints its id. A direct one that exists is found.
    Create(Create),
    /// Lists your conversations.
    List(List),
    /// Lists the members of a conversation.
    Members(OnlyConversation),
    /// Adds members.
    Add(Add),
    /// Removes a member.
    Remove(Remove),
    /// Leaves.
    Leave(OnlyConversation),
    /// Gives a member another role; the tenant's administrator may, too.
    Role(GiveRole),
    /// Changes the title.
    Rename(Rename),
    /// Changes how long messages are kept.
    Retention(Retention),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("kind").required(true).args(["direct", "group", "broadcast"])))]
pub(super) struct Create {
    /// The conversation of two people: you and this user.
    #[arg(long, value_name = "USER")]
    direct: Option<String>,
    /// A conversation in which every member publishes. --group=TITLE, if it begins with a dash.
    #[arg(long, value_name = "TITLE")]
    group: Option<String>,
    /// A conversation in which admins and publishers publish; takes the role broadcaster.
    /// --broadcast=TITLE, if it begins with a dash.
    #[arg(long, value_name = "TITLE")]
    broadcast: Option<String>,
    /// A member beside you.
    #[arg(long, value_name = "USER", conflicts_with = "direct")]
    member: Vec<String>,
    /// How long messages are kept, like 30d [default: as the operator says].
    #[arg(long, value_name = "TIME", value_parser = time::some, conflicts_with = "direct")]
    retention: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct OnlyConversation {
    /// Which: an id, or @user for the direct conversation with somebody.
    conversation: Named,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Which: an id.
    conversation: Named,
    /// Whom.
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    /// As admins.
    #[arg(long)]
    admin: bool,
    /// As members who also publish in a broadcast.
    #[arg(long, conflicts_with = "admin")]
    publisher: bool,
    /// They see what was published before.
    #[arg(long)]
    share_history: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Which: an id.
    conversation: Named,
    /// Whom.
    #[arg(value_name = "USER")]
    member: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct GiveRole {
    /// Which: an id.
    conversation: Named,
    /// Whom.
    #[arg(value_name = "USER")]
    member: String,
    /// Which role they get.
    #[arg(value_name = "ROLE")]
    becomes: Becomes,
    #[command(flatten)]
    connection: Connection,
}

/// A role in a conversation.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Becomes {
    /// Reads, and publishes except in a broadcast.
    Member,
    /// Also publishes in a broadcast.
    Publisher,
    /// Also manages.
    Admin,
}

impl From<Becomes> for Role {
    fn from(becomes: Becomes) -> Self {
        match becomes {
            Becomes::Member => Self::Member,
            Becomes::Publisher => Self::Publisher,
            Becomes::Admin => Self::Admin,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Rename {
    /// Which: an id.
    conversation: Named,
    /// The new title; one that begins with a dash is fine.
    #[arg(allow_hyphen_values = true)]
    title: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Retention {
    /// Which: an id, or @user for the direct conversation with somebody.
    conversation: Named,
    /// How long, like 30d; or default, for as long as the operator says.
    #[arg(value_name = "TIME", value_parser = retention)]
    time: Kept,
    #[command(flatten)]
    connection: Connection,
}

/// How long messages are kept; `None`: the operator's default.
#[derive(Clone, Copy, Debug)]
struct Kept(Option<Duration>);

fn retention(text: &str) -> Result<Kept, String> {
    match text {
        // "max" is what it was called when there was no default.
        "default" | "max" => Ok(Kept(None)),
        _ => Ok(Kept(Some(time::some(text).map_err(|why| format!("{why}; or default"))?))),
    }
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let session = self.connection().open(Purpose::Request).await?;
        self.carry_out(&session).await?;
        session.close().await;
        Ok(())
    }

    fn connection(&self) -> &Connection {
        match self {
            Self::Create(Create { connection, .. })
            | Self::List(List { connection })
            | Self::Members(OnlyConversation { connection, .. })
            | Self::Leave(OnlyConversation { connection, .. })
            | Self::Add(Add { connection, .. })
            | Self::Remove(Remove { connection, .. })
            | Self::Role(GiveRole { connection, .. })
            | Self::Rename(Rename { connection, .. })
            | Self::Retention(Retention { connection, .. }) => connection,
        }
    }

    async fn carry_out(self, session: &Session) -> anyhow::Result<()> {
        let client = &session.client;
        match self {
            Self::Create(create) => return create.carry_out(session).await,
            Self::List(_) => return list(session).await,
            Self::Members(of) => return members(session, &of.conversation).await,
            Self::Add(add) => {
                let conversation = add.conversation.find(client).await?;
                let role = match (add.admin, add.publisher) {
                    (true, _) => Role::Admin,
                    (_, true) => Role::Publisher,
                    _ => Role::Member,
                };
                client.add_members(conversation, &add.users, role, add.share_history).await?
            }
            Self::Remove(remove) => {
                client.remove_member(remove.conversation.find(client).await?, &remove.member).await?
            }
            Self::Leave(of) => client.leave(of.conversation.find(client).await?).await?,
            Self::Role(role) => {
                let conversation = role.conversation.find(client).await?;
                client.set_role(conversation, &role.member, role.becomes.into()).await?
            }
            Self::Rename(rename) => {
                client.rename(rename.conversation.find(client).await?, &rename.title).await?
            }
            Self::Retention(retention) => {
                client.set_retention(retention.conversation.find(client).await?, retention.time.0).await?
            }
        };
        Ok(())
    }
}

impl Create {
    async fn carry_out(self, session: &Session) -> anyhow::Result<()> {
        let client = &session.client;
        let made = match (self.direct, self.group, self.broadcast) {
            (Some(peer), ..) => client.direct(&peer).await?,
            (_, Some(title), _) => {
                let new = NewConversation { title, members: self.member, retention: self.retention };
                client.create_group(new).await?
            }
            (.., title) => {
                let title = title.unwrap_or_default();
                let new = NewConversation { title, members: self.member, retention: self.retention };
                client.create_broadcast(new).await?
            }
        };
        Ok(writeln!(io::stdout(), "{}", made.id)?)
    }
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = session.client.conversations(100, after).await?;
        let mut out = io::stdout().lock();
        for conversation in &page.items {
            show::conversation(conversation).print(&mut out)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn members(session: &Session, of: &Named) -> anyhow::Result<()> {
    let conversation = of.find(&session.client).await?;
    let mut after = None;
    loop {
        let page = session.client.members(conversation, 100, after).await?;
        let mut out = io::stdout().lock();
        for member in &page.items {
            show::member(member).print(&mut out)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
