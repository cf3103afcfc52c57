//! A thread that carries messages between processes by MPI. Nothing else in the program calls MPI.
//!
//! Each rank tells the next one every second that it is there. A rank that hears nothing from the
//! one before it for too long ends the job, so that nobody waits for ever.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use blindspot::ErrorKind;
use blindspot::run::communicator::{Communicator, Mailbox};
use mpi::Threading;
use mpi::collective::CommunicatorCollectives;
use mpi::datatype::Equivalence;
use mpi::point_to_point::{Destination, Source};
use mpi::request::{Request, StaticScope};
use mpi::topology::{Communicator as _, SimpleCommunicator};

/// Tags: a message or its last piece, the sign that a rank is there, and a piece before the last.
const MESSAGE: i32 = 1;
const ALIVE: i32 = 2;
const PIECE: i32 = 3;
/// Bytes of a piece at most: MPI counts no more than 2^31.
const PIECE_BYTES: usize = 16 << 20;
/// Between two such signs.
const BEAT: Duration = Duration::from_secs(1);
/// How long the launcher has to pass on what was written before the end.
const PASSED_ON: Duration = Duration::from_millis(300);
/// Between two looks at what has arrived, at least and at most. They become rarer while nothing
/// happens: a look every millisecond takes some 3% of a core.
const SOON: Duration = Duration::from_micros(20);
const LATER: Duration = Duration::from_millis(16);

enum Order {
    Send(usize, Vec<u8>),
    /// Wait until all ranks have come to their end.
    Finish,
    Abort(u8),
}

/// This process's way to the others.
pub(crate) struct MpiTransport {
    rank: usize,
    count: usize,
    orders: Mutex<Sender<Order>>,
    inbox: Mailbox,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl MpiTransport {
    /// Joins the job. A rank that gives no sign for `patience` seconds ends it.
    pub(crate) fn start(patience: u64) -> anyhow::Result<MpiTransport> {
        let (orders, taken) = channel();
        let (arrived, inbox) = channel();
        let (started, place) = channel();
        let patience = Duration::from_secs(patience);
        let carry = move || {
            let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
                return;
            };
            let world = universe.world();
            let (rank, count) = (world.rank() as usize, world.size() as usize);
            if started.send((rank, count)).is_ok() {
                ProgressLoop::new(world, arrived, patience).run(&taken);
            }
        };
        let thread = std::thread::Builder::new().name("mpi".into()).spawn(carry);
        let thread = thread.context("can't start a thread for MPI")?;
        let (rank, count) = place.recv().map_err(|_| anyhow!("MPI does not start"))?;
        Ok(MpiTransport {
            rank,
            count,
            orders: Mutex::new(orders),
            inbox: Mailbox::new(inbox),
            thread: Mutex::new(Some(thread)),
        })
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock().expect("nobody panics with it");
        // Where the thread has ended, so does the job.
        let _ = orders.send(order);
    }

    fn end(&self, order: Order) {
        self.order(order);
        let thread = self.thread.lock().expect("nobody panics with it").take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Waits until all ranks have come here, and leaves MPI.
    pub(crate) fn finish(&self) {
        self.end(Order::Finish);
    }

    /// Ends all ranks.
    pub(crate) fn abort(&self, code: u8) {
        self.end(Order::Abort(code));
    }

    /// What has been received; the end of the program where MPI has ended.
    fn arrived<R>(&self, received: Result<R, RecvError>) -> R {
        received.unwrap_or_else(|_| {
            crate::print::warning(&format!("rank {}: MPI has ended", self.rank));
            std::process::exit(i32::from(crate::exit::code(ErrorKind::Other)));
        })
    }
}

impl Communicator for MpiTransport {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn send(&self, to: usize, message: Vec<u8>) {
        self.order(Order::Send(to, message));
    }

    fn receive(&self, from: usize) -> Vec<u8> {
        self.arrived(self.inbox.receive(from))
    }

    fn receive_any(&self, of: &dyn Fn(usize) -> bool) -> (usize, Vec<u8>) {
        self.arrived(self.inbox.receive_any(of))
    }
}

/// A message on its way. MPI reads it until the request is done.
struct Sent {
    request: Request<'static, [u8], StaticScope>,
    message: *mut [u8],
}

/// What the thread has to do again and again.
struct ProgressLoop {
    world: SimpleCommunicator,
    arrived: Sender<(usize, Vec<u8>)>,
    patience: Duration,
    sent: Vec<Sent>,
    /// The pieces that have come of each rank's next message.
    pieces: Vec<Vec<u8>>,
    /// When something was sent or has arrived.
    busy: Instant,
    /// When this rank said last that it is there, and when the one before it did.
    last_beat: Instant,
    last_heard: Instant,
}

impl ProgressLoop {
    fn new(
        world: SimpleCommunicator,
        arrived: Sender<(usize, Vec<u8>)>,
        patience: Duration,
    ) -> ProgressLoop {
        let count = world.size() as usize;
        ProgressLoop {
            world,
            pieces: vec![Vec::new(); count],
            arrived,
            patience,
            sent: Vec::new(),
            busy: Instant::now(),
            last_beat: Instant::now(),
            last_heard: Instant::now(),
        }
    }

    fn run(&mut self, orders: &Receiver<Order>) {
        let mut all_here = None;
        loop {
            // Whoever begins to wait has sent something just before, mostly.
            let pause = (self.busy.elapsed() / 8).clamp(SOON, LATER);
            match orders.recv_timeout(pause) {
                Ok(Order::Send(to, mut message)) => {
                    self.busy = Instant::now();
                    if message.len() > PIECE_BYTES {
                        let last = (message.len() - 1) / PIECE_BYTES * PIECE_BYTES;
                        for piece in message[..last].chunks(PIECE_BYTES) {
                            self.send(to, piece.to_vec(), PIECE);
                        }
                        message.drain(..last);
                    }
                    self.send(to, message, MESSAGE);
                }
                Ok(Order::Finish) => all_here = Some(self.world.immediate_barrier()),
                Ok(Order::Abort(code)) => self.abort(code),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.clear_sent();
            self.collect();
            self.check_heartbeat();
            if let Some(request) = all_here.take() {
                match request.test() {
                    Ok(_) => return self.wait_for_sent(),
                    Err(request) => all_here = Some(request),
                }
            }
        }
    }

    fn send(&mut self, to: usize, message: Vec<u8>, tag: i32) {
        let message: &'static mut [u8] = Box::leak(message.into_boxed_slice());
        let pointer: *mut [u8] = message;
        let request = self
            .world
            .process_at_rank(to as i32)
            .immediate_send_with_tag(StaticScope, &*message, tag);
        self.sent.push(Sent {
            request,
            message: pointer,
        });
    }

    /// Forgets the messages that have left.
    fn clear_sent(&mut self) {
        for sent in std::mem::take(&mut self.sent) {
            match sent.request.test() {
                // SAFETY: the pointer is that of the box leaked in `send`, and MPI is done with it.
                #[allow(unsafe_code)]
                Ok(_) => drop(unsafe { Box::from_raw(sent.message) }),
                Err(request) => self.sent.push(Sent { request, ..sent }),
            }
        }
    }

    fn wait_for_sent(&mut self) {
        for sent in std::mem::take(&mut self.sent) {
            sent.request.wait();
        }
    }

    /// Takes what has arrived.
    fn collect(&mut self) {
        let anyone = self.world.any_process();
        while let Some((message, status)) = anyone.immediate_matched_probe() {
            let bytes = status.count(u8::equivalent_datatype()) as usize;
            let mut content = vec![0u8; bytes];
            message.matched_receive_into(&mut content[..]);
            let from = status.source_rank() as usize;
            match status.tag() {
                ALIVE => self.last_heard = Instant::now(),
                PIECE => {
                    self.busy = Instant::now();
                    self.pieces[from].append(&mut content);
                }
                _ => {
                    self.busy = Instant::now();
                    let mut message = std::mem::take(&mut self.pieces[from]);
                    if message.is_empty() {
                        message = content;
                    } else {
                        message.append(&mut content);
                    }
                    // Nobody listens any more at the end.
                    let _ = self.arrived.send((from, message));
                }
            }
        }
    }

    /// Says that this rank is there, and makes sure that its neighbour is.
    fn check_heartbeat(&mut self) {
        let (rank, count) = (self.world.rank() as usize, self.world.size() as usize);
        if count > 1 && self.last_beat.elapsed() > BEAT {
            self.last_beat = Instant::now();
            self.send((rank + 1) % count, Vec::new(), ALIVE);
        }
        if count > 1 && self.last_heard.elapsed() > self.patience {
            let line = format!(
                "blindspot: rank {} has given no sign for {} s, so the job ends; the same command goes on \
                 from what has been written\n",
                (rank + count - 1) % count,
                self.patience.as_secs()
            );
            // In one piece: other ranks may be writing, too.
            let _ = std::io::stderr().write_all(line.as_bytes());
            self.abort(crate::exit::code(ErrorKind::Other));
        }
    }

    /// Ends all ranks, as soon as the launcher has passed on what this one has written.
    fn abort(&self, code: u8) -> ! {
        std::thread::sleep(PASSED_ON);
        self.world.abort(i32::from(code))
    }
}
