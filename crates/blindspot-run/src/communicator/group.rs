//! Some of the ranks of a communicator as one of their own.

use super::Communicator;

/// Every `step`-th rank of a communicator from a first one on, renumbered from 0.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    all: &'a dyn Communicator,
    first: usize,
    step: usize,
    count: usize,
}

impl<'a> Group<'a> {
    /// A group of `count` ranks, `step` apart, from `first` on; the calling rank must be among them.
    pub fn new(all: &'a dyn Communicator, first: usize, step: usize, count: usize) -> Group<'a> {
        Group {
            all,
            first,
            step,
            count,
        }
    }

    fn of_all(&self, rank: usize) -> usize {
        self.first + rank * self.step
    }
}

impl Communicator for Group<'_> {
    fn rank(&self) -> usize {
        (self.all.rank() - self.first) / self.step
    }

    fn count(&self) -> usize {
        self.count
    }

    fn send(&self, to: usize, message: Vec<u8>) {
        self.all.send(self.of_all(to), message);
    }

    fn receive(&self, from: usize) -> Vec<u8> {
        self.all.receive(self.of_all(from))
    }

    fn receive_any(&self, of: &dyn Fn(usize) -> bool) -> (usize, Vec<u8>) {
        let member = |rank: usize| {
            let place = rank.checked_sub(self.first)?;
            let inside = place.is_multiple_of(self.step) && place / self.step < self.count;
            inside.then_some(place / self.step)
        };
        let (rank, message) = self.all.receive_any(&|rank| member(rank).is_some_and(of));
        (member(rank).expect("one of them was asked for"), message)
    }
}
