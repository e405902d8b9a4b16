//! What access was taken back, and whom that keeps out.
//!
//! A view of what the store has on record, in memory, since every token is held against it. Who has
//! a token of later than the revocation is let in; nobody is, if it holds until it is lifted. A
//! token that does not say when it was issued is as old as can be.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use wardline_storage::command::Actor;
use wardline_storage::id::{SignInId, Timestamp};
use wardline_storage::model::{Revocation, Subject};

use super::auth::KeyName;
use crate::refusal::{Code, Refusal};

/// A token that its issuer is to be asked about again. `Debug` does not show it.
pub(crate) struct Bearer(Box<str>);

impl Bearer {
    pub(crate) fn new(token: &str) -> Arc<Self> {
        Arc::new(Self(token.into()))
    }

    pub(crate) fn token(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

/// By what somebody was let in.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// Whose token it is.
    pub(crate) issuer: Arc<str>,
    /// The key that their token is signed with.
    pub(crate) key: Arc<KeyName>,
    /// When the token was issued, if it says so.
    pub(crate) issued: Option<Timestamp>,
    /// As what its issuer can end it.
    pub(crate) sign_ins: [SignInId; 2],
    /// The token, if its issuer is to be asked about it again.
    pub(crate) bearer: Option<Arc<Bearer>>,
}

/// The revocations in force: those of the operator, and the sign-ins that issuers have ended.
#[derive(Debug, Default)]
pub(crate) struct Revocations(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    all: HashMap<Subject, Revocation>,
    /// How many of them are sign-ins.
    sign_outs: usize,
}

impl Revocations {
    /// Those on record.
    pub(crate) fn new(on_record: Vec<(Subject, Revocation)>) -> Self {
        let sign_outs = on_record.iter().filter(|(subject, _)| is_sign_in(subject)).count();
        Self(RwLock::new(Kept { all: on_record.into_iter().collect(), sign_outs }))
    }

    /// Puts one in force; one that reaches further stays.
    pub(crate) fn put(&self, subject: Subject, revocation: Revocation) {
        let mut kept = self.0.write();
        if kept.all.get(&subject).is_none_or(|before| before.through <= revocation.through) {
            let is_new = kept.all.insert(subject, revocation).is_none();
            kept.sign_outs += usize::from(is_new && is_sign_in(&subject));
        }
    }

    /// Lifts one; gives whether it was in force.
    pub(crate) fn lift(&self, subject: &Subject) -> bool {
        let mut kept = self.0.write();
        let was_there = kept.all.remove(subject).is_some();
        kept.sign_outs -= usize::from(was_there && is_sign_in(subject));
        was_there
    }

    /// How many of the operator's are in force.
    pub(crate) fn count(&self) -> usize {
        let kept = self.0.read();
        kept.all.len() - kept.sign_outs
    }

    /// How many sign-ins that issuers have ended are in force.
    pub(crate) fn sign_outs(&self) -> usize {
        self.0.read().sign_outs
    }

    /// Whether one is in force.
    pub(crate) fn has(&self, subject: &Subject) -> bool {
        self.0.read().all.contains_key(subject)
    }

    /// All of the operator's.
    pub(crate) fn all(&self) -> Vec<(Subject, Revocation)> {
        let kept = self.0.read();
        let of_operator = kept.all.iter().filter(|(subject, _)| !is_sign_in(subject));
        of_operator.map(|(subject, revocation)| (*subject, revocation.clone())).collect()
    }

    /// Those that keep nobody out any more: every token of their time has ended. At most `max`.
    pub(crate) fn moot(&self, ended_before: Timestamp, max: usize) -> Vec<Subject> {
        let all = &self.0.read().all;
        let moot = all.iter().filter(|(_, revocation)| revocation.through < ended_before);
        moot.map(|(subject, _)| *subject).take(max).collect()
    }

    /// Whether somebody may be, or stay, let in.
    ///
    /// # Errors
    /// The refusal, if their access was taken back.
    pub(crate) fn check(&self, actor: &Actor, by: &Credential) -> Result<(), Refusal> {
        let all = &self.0.read().all;
        if all.is_empty() {
            return Ok(());
        }
        let issued = by.issued.unwrap_or_default();
        let subjects = [
            Subject::Key(by.key.id),
            Subject::Tenant(actor.tenant),
            Subject::User(actor.user),
            Subject::Device(actor.device),
            Subject::SignIn(by.sign_ins[0]),
            Subject::SignIn(by.sign_ins[1]),
        ];
        let forbids =
            |subject: &Subject| all.get(subject).is_some_and(|revocation| issued <= revocation.through);
        match subjects.into_iter().find(forbids) {
            Some(subject) => Err(refusal(&subject)),
            None => Ok(()),
        }
    }
}

fn is_sign_in(subject: &Subject) -> bool {
    matches!(subject, Subject::SignIn(_))
}

/// What those are told whose access was taken back.
pub(crate) fn refusal(subject: &Subject) -> Refusal {
    let text = match subject {
        Subject::Tenant(_) => "the operator took back the access of this tenant",
        Subject::User(_) => "the operator took back the access of this user",
        Subject::Device(_) => "the operator took back the access of this device",
        Subject::Key(_) => "the key that the token is signed with is not good any more",
        Subject::SignIn(_) => "the issuer has ended this sign-in: sign in again",
    };
    Refusal::new(Code::Revoked, text)
}

#[cfg(test)]
mod tests {
    use wardline_storage::command::Rights;
    use wardline_storage::id::{DeviceId, KeyId, TenantId, UserId};
    use wardline_storage::model::Text;

    use super::*;

    fn actor() -> Actor {
        Actor {
            tenant: TenantId::new([1; 16]),
            user: UserId::new([2; 16]),
            name: Text::new("alice"),
            device: DeviceId::new([3; 16]),
            rights: Rights::default(),
        }
    }

    fn by(issued: Option<u64>) -> Credential {
        let key = Arc::new(KeyName { kid: None, id: KeyId::new([4; 32]) });
        let sign_ins = [SignInId::new([5; 16]), SignInId::new([6; 16])];
        let issuer = "https://id.example".into();
        Credential { issuer, key, issued: issued.map(Timestamp), sign_ins, bearer: None }
    }

    fn through(time: Timestamp) -> Revocation {
        Revocation { made: Timestamp(1_000), through: time, name: Text::new("alice") }
    }

    #[test]
    fn each_subject_keeps_out_whom_it_names_and_nobody_else() {
        let actor = actor();
        let subjects = [
            (Subject::Tenant(actor.tenant), Subject::Tenant(TenantId::new([9; 16]))),
            (Subject::User(actor.user), Subject::User(UserId::new([9; 16]))),
            (Subject::Device(actor.device), Subject::Device(DeviceId::new([9; 16]))),
            (Subject::Key(KeyId::new([4; 32])), Subject::Key(KeyId::new([9; 32]))),
            (Subject::SignIn(SignInId::new([5; 16])), Subject::SignIn(SignInId::new([9; 16]))),
            (Subject::SignIn(SignInId::new([6; 16])), Subject::SignIn(SignInId::new([9; 16]))),
        ];
        for (own, other) in subjects {
            let revocations = Revocations::new(vec![(other, through(Timestamp::NEVER))]);
            assert_eq!(revocations.count() + revocations.sign_outs(), 1);
            assert_eq!(revocations.all().len(), revocations.count(), "sign-ins are not the operator's");
            assert_eq!(revocations.check(&actor, &by(Some(5_000))), Ok(()), "{other:?}");
            revocations.put(own, through(Timestamp::NEVER));
            let refused = revocations.check(&actor, &by(Some(5_000))).unwrap_err();
            assert_eq!(refused.code, Code::Revoked);
            assert!(revocations.lift(&own) && !revocations.lift(&own));
            assert_eq!(revocations.check(&actor, &by(Some(5_000))), Ok(()));
        }
    }

    #[test]
    fn a_token_of_later_lets_in_again() {
        let (actor, user) = (actor(), Subject::User(actor().user));
        let revocations = Revocations::new(vec![(user, through(Timestamp(1_000)))]);
        for issued in [None, Some(0), Some(999), Some(1_000)] {
            assert!(revocations.check(&actor, &by(issued)).is_err(), "{issued:?}");
        }
        assert_eq!(revocations.check(&actor, &by(Some(1_001))), Ok(()));
        // What reaches less far changes nothing.
        revocations.put(user, through(Timestamp(500)));
        assert!(revocations.check(&actor, &by(Some(1_000))).is_err());
        assert!(revocations.moot(Timestamp(1_000), 8).is_empty());
        assert_eq!(revocations.moot(Timestamp(1_001), 8), [user]);
    }
}
