//! The ring as the loop sees it, and all unsafe code of this rival: what the
//! kernel reads or writes lives here until the kernel is done with it.

use std::alloc::Layout;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

const SUBMISSIONS: u32 = 4096;
const PAGE_BYTES: usize = 4096;
/// Receive buffers; a power of two. When all are taken the kernel ends the
/// receives, and they are started again after these are given back.
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 4096;
const BUFFER_GROUP: u16 = 0;
const SHUT_RDWR: i32 = 2;

/// When completions are made: in `io_uring_enter` only, or at any system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taskrun {
    Deferred,
    Cooperative,
}

/// What an operation was, with the connection that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Accept,
    Receive(usize),
    Send(usize),
    Shutdown(usize),
    Close,
}

pub struct Completion {
    pub operation: Operation,
    pub result: Result<u32, Errno>,
    /// The operation goes on and completes again.
    pub more: bool,
    /// What a receive filled: to be given back.
    pub buffer: Option<u16>,
}

pub struct Ring {
    uring: IoUring,
    receive: ReceiveBuffers,
    /// What is being sent on connection i.
    sending: Vec<Vec<u8>>,
}

impl Ring {
    /// # Panics
    /// When the kernel has no io_uring, forbids it, or is older than 6.1.
    pub fn new(taskrun: Taskrun) -> Self {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_coop_taskrun();
        if taskrun == Taskrun::Deferred {
            builder.setup_defer_taskrun();
        }
        let uring = builder.build(SUBMISSIONS);
        let uring = uring.expect("io_uring of Linux 6.1 or newer, see kernel.io_uring_disabled");
        let receive = ReceiveBuffers::register(&uring);
        Self {
            uring,
            receive,
            sending: Vec::new(),
        }
    }

    /// The one system call of a turn: submits all, waits for a completion, and
    /// hands over all that there are.
    pub fn turn(&mut self, completions: &mut Vec<Completion>) {
        self.receive.publish();
        if let Err(error) = self.uring.submit_and_wait(1) {
            let error = Errno::from_io_error(&error);
            // Busy: completions must be taken first, which is what comes next.
            let passes = matches!(error, Some(Errno::INTR | Errno::BUSY | Errno::AGAIN));
            assert!(passes, "io_uring_enter: {error:?}");
        }
        completions.extend(self.uring.completion().map(|entry| Completion::of(&entry)));
    }

    /// Accepts until the completion says that it does not go on.
    pub fn accept(&mut self, listener: RawFd) {
        let entry = opcode::AcceptMulti::new(Fd(listener))
            .flags(rustix::net::SocketFlags::CLOEXEC.bits() as i32)
            .build();
        self.push(entry, Operation::Accept);
    }

    /// Receives until the completion says that it does not go on.
    pub fn receive(&mut self, socket: RawFd, connection: usize) {
        let entry = opcode::RecvMulti::new(Fd(socket), BUFFER_GROUP).build();
        self.push(entry, Operation::Receive(connection));
    }

    pub fn received(&self, buffer: u16, bytes: u32) -> &[u8] {
        self.receive.bytes(buffer, bytes as usize)
    }

    pub fn give_back(&mut self, buffer: u16) {
        self.receive.give_back(buffer);
    }

    /// Sends all bytes, and then shuts down if they are the last. A send that
    /// is cut short breaks the link: the shutdown is cancelled.
    pub fn send(&mut self, socket: RawFd, connection: usize, bytes: Vec<u8>, last: bool) {
        if self.sending.len() <= connection {
            self.sending.resize_with(connection + 1, Vec::new);
        }
        debug_assert!(self.sending[connection].is_empty(), "one send at a time");
        let flags = SendFlags::NOSIGNAL.bits() | RecvFlags::WAITALL.bits();
        let entry = opcode::Send::new(Fd(socket), bytes.as_ptr(), bytes.len() as u32)
            .flags(flags as i32)
            .build();
        self.sending[connection] = bytes;
        if !last {
            self.push(entry, Operation::Send(connection));
            return;
        }
        if SUBMISSIONS as usize - self.uring.submission().len() < 2 {
            // A chain must be submitted at once.
            self.submit();
        }
        self.push(
            entry.flags(squeue::Flags::IO_LINK),
            Operation::Send(connection),
        );
        self.shutdown(socket, connection);
    }

    /// What was sent, to be called once at the completion of each send.
    pub fn take_sent(&mut self, connection: usize) -> Vec<u8> {
        std::mem::take(&mut self.sending[connection])
    }

    /// Both directions: ends a receive that goes on.
    pub fn shutdown(&mut self, socket: RawFd, connection: usize) {
        let entry = opcode::Shutdown::new(Fd(socket), SHUT_RDWR).build();
        self.push(entry, Operation::Shutdown(connection));
    }

    /// Completes silently.
    pub fn close(&mut self, socket: RawFd) {
        let entry = opcode::Close::new(Fd(socket)).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS), Operation::Close);
    }

    fn push(&mut self, entry: squeue::Entry, operation: Operation) {
        let entry = entry.user_data(operation.encode());
        if self.uring.submission().is_full() {
            self.submit();
        }
        // SAFETY: the only memory that an entry names is what `send` keeps in
        // `sending` until `take_sent`, whose heap bytes do not move.
        let pushed = unsafe { self.uring.submission().push(&entry) };
        pushed.expect("room for an entry");
    }

    fn submit(&mut self) {
        self.uring.submit().expect("io_uring_enter");
    }
}

impl Completion {
    fn of(entry: &cqueue::Entry) -> Self {
        let (result, flags) = (entry.result(), entry.flags());
        Self {
            operation: Operation::decode(entry.user_data()),
            result: u32::try_from(result).map_err(|_| Errno::from_raw_os_error(-result)),
            more: cqueue::more(flags),
            buffer: cqueue::buffer_select(flags),
        }
    }
}

impl Operation {
    fn encode(self) -> u64 {
        let (kind, connection) = match self {
            Self::Accept => (0, 0),
            Self::Receive(connection) => (1, connection),
            Self::Send(connection) => (2, connection),
            Self::Shutdown(connection) => (3, connection),
            Self::Close => (4, 0),
        };
        kind << 32 | connection as u64
    }

    fn decode(user_data: u64) -> Self {
        let connection = user_data as u32 as usize;
        match user_data >> 32 {
            0 => Self::Accept,
            1 => Self::Receive(connection),
            2 => Self::Send(connection),
            3 => Self::Shutdown(connection),
            _ => Self::Close,
        }
    }
}

/// A ring of buffers that the kernel takes from when bytes arrive, so that a
/// connection without any owns none. Never freed: its thread runs to the end.
struct ReceiveBuffers {
    entries: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
}

impl ReceiveBuffers {
    fn register(uring: &IoUring) -> Self {
        let entries = allocate(usize::from(BUFFERS) * size_of::<BufRingEntry>());
        let bytes = allocate(usize::from(BUFFERS) * BUFFER_BYTES);
        let mut buffers = Self {
            entries: entries.cast(),
            bytes,
            tail: 0,
        };
        (0..BUFFERS).for_each(|buffer| buffers.give_back(buffer));
        buffers.publish();
        let submitter = uring.submitter();
        // SAFETY: BUFFERS entries, page-aligned, never freed.
        let registered = unsafe {
            submitter.register_buf_ring_with_flags(entries as u64, BUFFERS, BUFFER_GROUP, 0)
        };
        registered.expect("buffer rings of Linux 5.19 or newer");
        buffers
    }

    fn bytes(&self, buffer: u16, bytes: usize) -> &[u8] {
        assert!(buffer < BUFFERS && bytes <= BUFFER_BYTES);
        // SAFETY: inside the allocation by the assertion, zeroed at first; the
        // kernel does not write to it until it is given back, by `&mut self`.
        unsafe {
            let start = self.bytes.add(usize::from(buffer) * BUFFER_BYTES);
            std::slice::from_raw_parts(start, bytes)
        }
    }

    fn give_back(&mut self, buffer: u16) {
        assert!(buffer < BUFFERS);
        // SAFETY: both places are inside their allocations; the kernel does not
        // read this entry before the tail is published.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(self.bytes.add(usize::from(buffer) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: the base of the ring, whose tail the kernel reads atomically.
        unsafe {
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

/// Zeroed pages.
fn allocate(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, PAGE_BYTES).expect("a layout");
    // SAFETY: not of size 0.
    let start = unsafe { std::alloc::alloc_zeroed(layout) };
    assert!(!start.is_null(), "memory for the receive buffers");
    start
}
