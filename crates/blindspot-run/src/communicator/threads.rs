//! Ranks as threads of one process, for tests.

use std::sync::mpsc::{Sender, channel};

use super::{Communicator, Mailbox};

struct Thread {
    rank: usize,
    to: Vec<Sender<(usize, Vec<u8>)>>,
    inbox: Mailbox,
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.to.len()
    }

    fn send(&self, to: usize, message: Vec<u8>) {
        assert_ne!(to, self.rank, "nobody writes to himself");
        self.to[to].send((self.rank, message)).unwrap();
    }

    fn receive(&self, from: usize) -> Vec<u8> {
        self.inbox.receive(from).expect("all ranks are there")
    }

    fn receive_any(&self, of: &dyn Fn(usize) -> bool) -> (usize, Vec<u8>) {
        self.inbox.receive_any(of).expect("all ranks are there")
    }
}

/// Runs `work` on `count` ranks and returns what each of them gives.
pub fn run<R: Send>(count: usize, work: impl Fn(&dyn Communicator) -> R + Sync) -> Vec<R> {
    let (to, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| channel()).unzip();
    let ranks: Vec<Thread> = inboxes
        .into_iter()
        .enumerate()
        .map(|(rank, inbox)| Thread {
            rank,
            to: to.clone(),
            inbox: Mailbox::new(inbox),
        })
        .collect();
    std::thread::scope(|scope| {
        let handles: Vec<_> = ranks
            .iter()
            .map(|rank| scope.spawn(|| work(rank)))
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect()
    })
}
