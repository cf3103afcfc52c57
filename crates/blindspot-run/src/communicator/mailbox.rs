//! Messages that arrive in one order and are wanted in another.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvError};

/// Messages from other ranks to this one, kept until they are asked for.
#[derive(Debug)]
pub struct Mailbox(Mutex<Messages>);

#[derive(Debug)]
struct Messages {
    arriving: Receiver<(usize, Vec<u8>)>,
    early: VecDeque<(usize, Vec<u8>)>,
}

impl Mailbox {
    /// A mailbox fed by a channel of messages, each with the rank that sent it.
    pub fn new(arriving: Receiver<(usize, Vec<u8>)>) -> Mailbox {
        Mailbox(Mutex::new(Messages {
            arriving,
            early: VecDeque::new(),
        }))
    }

    /// Waits for the next message from a rank.
    ///
    /// # Errors
    /// [`RecvError`] where nothing can arrive any more.
    pub fn receive(&self, from: usize) -> Result<Vec<u8>, RecvError> {
        let received = self.receive_any(&|sender| sender == from);
        received.map(|(_, message)| message)
    }

    /// Waits for the next message from any of these ranks; gives who sent it.
    ///
    /// # Errors
    /// [`RecvError`] where nothing can arrive any more.
    pub fn receive_any(&self, of: &dyn Fn(usize) -> bool) -> Result<(usize, Vec<u8>), RecvError> {
        let Messages { arriving, early } = &mut *self.0.lock().expect("nobody panics with it");
        let place = early.iter().position(|(sender, _)| of(*sender));
        if let Some(message) = place.and_then(|place| early.remove(place)) {
            return Ok(message);
        }
        loop {
            let message = arriving.recv()?;
            if of(message.0) {
                return Ok(message);
            }
            early.push_back(message);
        }
    }
}
