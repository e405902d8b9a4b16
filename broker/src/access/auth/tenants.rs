//! Of which tenants an issuer may speak.
//!
//! A tenant that is named by an issuer is that issuer's: no other one speaks for its people,
//! whatever its tokens say. An issuer that names none speaks for all whom nobody names.

use std::collections::BTreeSet;

/// Of which tenants an issuer may speak, and what decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// The token's claim decides; of all but these, which are others'.
    AllBut(BTreeSet<String>),
    /// The issuer decides: all its people are of this one.
    One(String),
    /// The token's claim decides, among these.
    Among(BTreeSet<String>),
}

impl Default for Tenants {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

impl Tenants {
    /// The tenant of a token with this claim.
    ///
    /// # Errors
    /// Why it is of none.
    pub(super) fn decide<'t>(
        &'t self,
        claim: Result<Option<&'t str>, &'static str>,
    ) -> Result<&'t str, &'static str> {
        const MISSING: &str = "claim tenant (auth.tenant_claim) is missing";
        match self {
            // A token of another tenant's is not made into one of ours.
            Self::One(tenant) => match claim? {
                None => Ok(tenant),
                Some(said) if said == tenant => Ok(tenant),
                Some(_) => Err("it is of another tenant than its issuer's"),
            },
            Self::Among(ours) => match claim?.ok_or(MISSING)? {
                said if ours.contains(said) => Ok(said),
                _ => Err("it is of a tenant that its issuer may not speak for"),
            },
            Self::AllBut(others) => match claim?.ok_or(MISSING)? {
                said if others.contains(said) => Err("it is of a tenant that its issuer may not speak for"),
                said => Ok(said),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn no_issuer_speaks_for_the_tenant_of_another() {
        let one = Tenants::One("north".into());
        let among = Tenants::Among(set(&["south", "east"]));
        let rest = Tenants::AllBut(set(&["north", "south", "east"]));
        assert_eq!(one.decide(Ok(None)), Ok("north"));
        assert_eq!(one.decide(Ok(Some("north"))), Ok("north"));
        assert_eq!(among.decide(Ok(Some("east"))), Ok("east"));
        assert_eq!(rest.decide(Ok(Some("west"))), Ok("west"));
        for (tenants, said) in [(&one, "south"), (&among, "north"), (&among, "West"), (&rest, "south")] {
            assert!(tenants.decide(Ok(Some(said))).is_err(), "{tenants:?} {said}");
        }
        for tenants in [&among, &rest] {
            assert!(tenants.decide(Ok(None)).unwrap_err().contains("missing"));
        }
        for tenants in [&one, &among, &rest] {
            assert_eq!(tenants.decide(Err("odd")), Err("odd"));
        }
    }
}
