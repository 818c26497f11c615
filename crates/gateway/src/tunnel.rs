//! Two connections, and everything that comes over one goes out over the other.
//!
//! A tunnel that is quiet holds no memory but its own few hundred bytes: what is read goes through one large buffer of the
//! thread, and only what the other side does not take at once is kept.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    io::{Stream, Wire},
    limits::Throttle,
};

/// What is read at once, in bytes.
const SCRATCH: usize = 256 * 1024;
/// How many bytes may go one way before the other tunnels of the thread have their turn.
const TURN: usize = 1024 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both sides have said that they are done.
    Done,
    /// One side broke off.
    Broken,
    /// Nothing came for too long.
    Idle,
    /// The gateway shuts down.
    Cut,
    /// A volume is used up.
    OverLimit,
}

impl Ended {
    /// The cause in the log; `None` for an end as it should be.
    #[must_use]
    pub fn cause(self) -> Option<&'static str> {
        match self {
            Self::Done => None,
            Self::Broken => Some("connection_terminated"),
            Self::Idle => Some("connection_read_timeout"),
            Self::Cut => Some("proxy_shutdown"),
            Self::OverLimit => Some("volume_used_up"),
        }
    }
}

/// One way.
#[derive(Debug, Default)]
struct Pump {
    /// What was read and not taken yet.
    left: Vec<u8>,
    from: usize,
    state: State,
    bytes: u64,
    /// How many bytes may go this way before the others have their turn.
    turn: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source is done; that is still to be said.
    Closing,
    Closed,
}

impl Pump {
    fn starting_with(left: Vec<u8>, turn: usize) -> Self {
        Self { left, turn, ..Self::default() }
    }

    fn poll(&mut self, cx: &mut Context<'_>, source: &mut Stream, sink: &mut Stream) -> Poll<io::Result<()>> {
        let mut moved = 0;
        loop {
            while self.from < self.left.len() {
                let count = ready!(sink.poll_write(cx, &self.left[self.from..]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.from += count;
                self.bytes += count as u64;
            }
            if !self.left.is_empty() {
                self.left = Vec::new();
                self.from = 0;
            }
            match self.state {
                State::Closed => return Poll::Ready(Ok(())),
                State::Closing => {
                    // A side that is gone already needs not be told.
                    let _ = ready!(sink.poll_shutdown(cx));
                    self.state = State::Closed;
                    return Poll::Ready(Ok(()));
                }
                State::Open => {}
            }
            if moved >= self.turn {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = BUFFER.with(|buffer| {
                let mut buffer = buffer.borrow_mut();
                let most = buffer.len().min(self.turn);
                let count = match ready!(source.poll_read_into(cx, &mut buffer[..most])) {
                    Ok(count) => count,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                if count == 0 {
                    self.state = State::Closing;
                    return Poll::Ready(Ok(()));
                }
                moved += count;
                let mut from = 0;
                while from < count {
                    match sink.poll_write(cx, &buffer[from..count]) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Poll::Ready(Ok(written)) => {
                            from += written;
                            self.bytes += written as u64;
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => {
                            self.left = buffer[from..count].to_vec();
                            return Poll::Pending;
                        }
                    }
                }
                Poll::Ready(Ok(()))
            });
            match taken {
                Poll::Pending => {
                    let _ = sink.poll_flush(cx);
                    return Poll::Pending;
                }
                Poll::Ready(taken) => taken?,
            }
        }
    }
}

/// Passes everything on, until both sides are done, one breaks off, nothing comes for `idle`, or `cut` says so. Answers how it
/// ended, and the bytes to the target and to the client.
pub async fn run(
    client: &mut Wire, target: &mut Wire, idle: Duration, cut: impl Future<Output = ()>, mut throttle: Option<Throttle>,
) -> (Ended, u64, u64) {
    let turn = throttle.as_ref().map_or(TURN, |throttle| throttle.piece.min(TURN));
    let mut there = Pump::starting_with(client.inbox.drain(), turn);
    let mut back = Pump::starting_with(target.inbox.drain(), turn);
    let mut seen = 0;
    let alarm = sleep_until(Instant::now() + idle);
    tokio::pin!(alarm, cut);
    let ended = poll_fn(|cx| {
        if cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::Cut);
        }
        if let Some(throttle) = &mut throttle
            && let Poll::Ready(over) = throttle.poll_turn(cx)
            && over
        {
            return Poll::Ready(Ended::OverLimit);
        } else if throttle.as_ref().is_some_and(Throttle::is_waiting) {
            return Poll::Pending;
        }
        if let Some(throttle) = &throttle {
            // Another limit may hold than when it began.
            (there.turn, back.turn) = (throttle.piece.min(TURN), throttle.piece.min(TURN));
        }
        let before = there.bytes + back.bytes;
        // Each end is passed on by itself: a side that has said all may still listen.
        let (a, b) =
            (there.poll(cx, &mut client.stream, &mut target.stream), back.poll(cx, &mut target.stream, &mut client.stream));
        if let Some(throttle) = &mut throttle {
            throttle.charge(there.bytes + back.bytes - before);
            if throttle.is_waiting() {
                // Nobody else wakes this task when the pause is over.
                cx.waker().wake_by_ref();
            }
        }
        match (a, b) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(Ended::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ended::Done),
            _ => {}
        }
        while alarm.as_mut().poll(cx).is_ready() {
            let now = there.bytes + back.bytes;
            if now == seen {
                return Poll::Ready(Ended::Idle);
            }
            // Looked at when it rings, not with every byte: a timer that is set anew each time costs more than what it guards.
            seen = now;
            alarm.as_mut().reset(Instant::now() + idle);
        }
        Poll::Pending
    })
    .await;
    (ended, there.bytes, back.bytes)
}
