//! What a connection has received and its owner has not consumed.
//!
//! The buffers are the engine's: it makes them, lets them grow with what comes
//! and frees them where somebody waits long, because a receive under way pins
//! its buffer. Whoever parses sees one run of bytes and says how many of them
//! it is done with. Today the run is owned memory; it may as well be lent by a
//! ring that receives into buffers of its own.

use corelane_proto::limits::{
    READ_BUFFER_LARGE_BYTES, READ_BUFFER_MEDIUM_BYTES, READ_BUFFER_SMALL_BYTES,
};

/// Received bytes, filled by a [`Receiver`](crate::Receiver). An empty one has
/// no storage until then.
#[derive(Debug, Default)]
pub struct Input {
    /// Those before `start` have been consumed.
    bytes: Vec<u8>,
    /// 32 bits wide, because every connection has one of these.
    start: u32,
    /// The last receive left no room: more waits than the buffer holds.
    is_short: bool,
}

impl Input {
    /// Without bytes and without storage.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            is_short: false,
        }
    }

    /// Bytes received and not consumed.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start as usize..]
    }

    /// Whether nothing is [`pending`](Self::pending).
    pub fn is_empty(&self) -> bool {
        self.start as usize == self.bytes.len()
    }

    /// Consumes `bytes` of [`pending`](Self::pending), which must hold so many.
    pub fn consume(&mut self, bytes: usize) {
        let start = self.start as usize + bytes;
        debug_assert!(start <= self.bytes.len());
        // No buffer is as large as 4 GiB.
        self.start = start as u32;
        if start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Lends the buffer to a receive, with room at its end.
    pub(crate) fn lend(&mut self) -> Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start as usize);
            self.start = 0;
        }
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let is_full = length == capacity;
        if is_full || (self.is_short && capacity < READ_BUFFER_LARGE_BYTES) {
            let wanted = match capacity {
                0 => READ_BUFFER_SMALL_BYTES,
                1..READ_BUFFER_MEDIUM_BYTES => READ_BUFFER_MEDIUM_BYTES,
                _ => READ_BUFFER_LARGE_BYTES.max(length * 2),
            };
            self.bytes.reserve_exact(wanted - length);
        }
        std::mem::take(&mut self.bytes)
    }

    /// Takes the buffer back after a receive. A quiet connection goes back to
    /// the small one: where `received` is all there is, and little.
    pub(crate) fn take_back(&mut self, bytes: Vec<u8>, received: usize) {
        let is_all = bytes.len() == received;
        self.is_short = received > 0 && bytes.len() == bytes.capacity();
        self.bytes = bytes;
        if is_all
            && received < READ_BUFFER_SMALL_BYTES / 2
            && self.bytes.capacity() > READ_BUFFER_SMALL_BYTES
        {
            let mut small = Vec::with_capacity(READ_BUFFER_SMALL_BYTES);
            small.extend_from_slice(&self.bytes);
            self.bytes = small;
        }
    }

    /// Gives a large buffer back, if nothing is in it; whether there was one.
    pub(crate) fn free_large(&mut self) -> bool {
        let is_large = self.is_empty() && self.bytes.capacity() > READ_BUFFER_MEDIUM_BYTES;
        if is_large {
            self.bytes = Vec::new();
        }
        is_large
    }

    /// Gets a large buffer again.
    pub(crate) fn make_large(&mut self) {
        debug_assert!(self.is_empty());
        self.bytes = Vec::with_capacity(READ_BUFFER_LARGE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One receive of `count` bytes, or of as many as there is room for.
    fn receive(input: &mut Input, count: usize) -> usize {
        let mut bytes = input.lend();
        let count = count.min(bytes.capacity() - bytes.len());
        assert!(count > 0, "a receive needs room");
        bytes.resize(bytes.len() + count, b'x');
        input.take_back(bytes, count);
        count
    }

    #[test]
    fn what_is_pending_stays_in_front_of_what_comes() {
        let mut input = Input::new();
        for part in [&b"one "[..], b"two ", b"three"] {
            let mut bytes = input.lend();
            bytes.extend_from_slice(part);
            input.take_back(bytes, part.len());
            if part == b"one " {
                input.consume(2);
            }
        }
        assert_eq!(input.pending(), b"e two three");
        input.consume(11);
        assert!(input.is_empty());
    }

    #[test]
    fn the_buffer_grows_with_what_comes_and_shrinks_with_quiet() {
        let mut input = Input::new();
        let mut rooms = Vec::new();
        for _ in 0..4 {
            let count = receive(&mut input, usize::MAX);
            rooms.push(count);
            input.consume(count);
        }
        assert_eq!(
            rooms,
            [
                READ_BUFFER_SMALL_BYTES,
                READ_BUFFER_MEDIUM_BYTES,
                READ_BUFFER_LARGE_BYTES,
                READ_BUFFER_LARGE_BYTES
            ]
        );
        receive(&mut input, 100);
        assert_eq!(input.pending().len(), 100);
        assert!(input.bytes.capacity() <= READ_BUFFER_SMALL_BYTES);
    }

    #[test]
    fn a_head_larger_than_the_large_buffer_finds_room() {
        let mut input = Input::new();
        let mut total = 0;
        while total < 3 * READ_BUFFER_LARGE_BYTES {
            total += receive(&mut input, usize::MAX);
        }
        assert_eq!(input.pending().len(), total);
    }

    #[test]
    fn only_an_empty_large_buffer_is_freed() {
        let mut input = Input::new();
        assert!(!input.free_large());
        input.make_large();
        receive(&mut input, 600);
        assert!(!input.free_large(), "bytes are pending");
        input.consume(600);
        assert!(input.free_large());
        assert_eq!(input.bytes.capacity(), 0);
    }
}
