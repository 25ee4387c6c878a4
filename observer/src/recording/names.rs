//! Labels to values: recordings hold the words that views use.

use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::snapshot::Hook;
use crate::topology::{Role, Scope};

/// A value that has a word of its own.
pub(super) trait Labelled: Copy + 'static {
    /// What a word names, for complaints.
    const WHAT: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// The word.
    fn word(self) -> &'static str;
}

macro_rules! labelled {
    ($($type:ty, $what:literal;)*) => { $(
        impl Labelled for $type {
            const WHAT: &'static str = $what;
            const ALL: &'static [Self] = &<$type>::ALL;
            fn word(self) -> &'static str {
                self.label()
            }
        }
    )* };
}

labelled! {
    Class, "encapsulation";
    Direction, "direction";
    Hook, "hook";
    Role, "role";
    Scope, "scope";
}

/// A value that is written as its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Labelled> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<'de, T: Labelled> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let found = T::ALL.iter().find(|value| value.word() == text);
        found
            .map(|value| Self(*value))
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no {} that is known", T::WHAT)))
    }
}
