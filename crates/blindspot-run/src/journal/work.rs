//! Kinds of work whose results journals keep.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Entries, Header, JournalError, Shard};

/// What a journal says in its header of work of one kind: all that the results depend on, and that the
/// files made of them say besides.
pub trait Work: Serialize + DeserializeOwned {
    /// The kind of work, by its command.
    const KIND: &'static str;

    /// What its positions are, as people call them.
    const ITEMS: &'static str = "images";

    /// Bytes of an entry's content, the result of one position.
    fn bytes(&self) -> usize;

    /// The header of the journal of a shard of `positions` positions.
    fn header(&self, positions: usize, shard: Shard) -> Header {
        Header {
            kind: Self::KIND.into(),
            about: serde_json::to_value(self).unwrap_or_default(),
            positions,
            bytes: self.bytes(),
            shard,
        }
    }

    /// What the header of these entries says.
    ///
    /// # Errors
    /// [`JournalError::Kind`] where they are of another kind, [`JournalError::Mismatch`] where they don't
    /// fit their header.
    fn of(entries: &Entries) -> Result<Self, JournalError> {
        let Header {
            kind, about, bytes, ..
        } = entries.header();
        if kind != Self::KIND {
            return Err(JournalError::Kind {
                found: kind.clone(),
                wanted: format!("not of `{}`", Self::KIND),
            });
        }
        let work: Option<Self> = serde_json::from_value(about.clone()).ok();
        work.filter(|work| work.bytes() == *bytes)
            .ok_or_else(JournalError::mismatch)
    }
}
