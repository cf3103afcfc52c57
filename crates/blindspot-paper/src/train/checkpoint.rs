//! Checkpoints as files: what a training under way has, whole and with its checksum.

use std::path::Path;
use std::time::{Duration, Instant};

use blindspot::run::communicator::broadcast;
use blindspot_data::files;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::TrainError;
use crate::session::Session;

/// Time between checkpoints.
const EVERY: Duration = Duration::from_secs(20);
/// How every checkpoint begins; the SHA-256 of what follows comes next.
const BEGINNING: &[u8] = b"blindspot checkpoint 1\n";
/// Bytes of a SHA-256.
const HASH: usize = 32;

/// Tells when the next checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// The first is due a while from now.
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Whether it is time to save.
    pub(crate) fn is_due(self) -> bool {
        self.0.elapsed() > EVERY
    }
}

/// Writes the session's checkpoint, if it has one; of several ranks, one has to.
///
/// # Errors
/// [`TrainError::File`].
pub(crate) fn save(path: Option<&Path>, state: &impl Serialize) -> Result<(), TrainError> {
    let Some(path) = path else { return Ok(()) };
    let bytes = postcard::to_stdvec(state).expect("a training is plain data");
    files::write_atomically(path, |writer| {
        writer.write_all(BEGINNING)?;
        writer.write_all(&Sha256::digest(&bytes))?;
        writer.write_all(&bytes)
    })?;
    Ok(())
}

/// What the session's checkpoint has, if there is one that is undamaged and `belongs` to this training;
/// any other gets another name, and the monitor hears of that. What rank 0 finds goes for all.
///
/// # Errors
/// [`TrainError::NoCheckpoint`] where the file of that name is none.
pub(crate) fn load<T: DeserializeOwned>(
    session: &Session<'_>,
    belongs: impl Fn(&T) -> bool,
) -> Result<Option<T>, TrainError> {
    let Some(path) = session.checkpoint else {
        return Ok(None);
    };
    let found = broadcast(session.ranks, || match std::fs::read(path) {
        // Whether there is one comes first.
        Ok(bytes) => [&[1], &bytes[..]].concat(),
        Err(_) => vec![0],
    });
    let Some((1, bytes)) = found.split_first() else {
        return Ok(None);
    };
    let path = path.to_owned();
    let Some(rest) = bytes.strip_prefix(BEGINNING) else {
        return Err(TrainError::NoCheckpoint { path });
    };
    let whole = rest.split_at_checked(HASH);
    let whole = whole.filter(|(hash, content)| *hash == &Sha256::digest(content)[..]);
    let state: Option<T> = whole.and_then(|(_, content)| postcard::from_bytes(content).ok());
    let why = match state {
        Some(state) if belongs(&state) => return Ok(Some(state)),
        Some(_) => "of another training",
        None if whole.is_some() => "of another version",
        None => "damaged",
    };
    if session.ranks.is_root() {
        let now = files::set_aside(&path)?;
        session.monitor.notice(&format!(
            "the checkpoint {} is {why}; it is kept as {}",
            path.display(),
            now.display()
        ));
    }
    Ok(None)
}
