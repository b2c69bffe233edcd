//! The body of an answer on its way out: counted, from memory or from a file, and cut short or held up where a fault wants that.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::Closed;
use crate::server::answer::Content;
use crate::server::faults::{Fault, Faults, Lasting, StallPoint};
use crate::server::hub::Shared;

/// How much of a file is read at once.
const CHUNK: usize = 1 << 18;

/// A body that another task fills.
pub(super) struct Outgoing {
    chunks: mpsc::Receiver<Result<Bytes, Closed>>,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Outgoing {
    /// Starts to produce the content, with what the faults say about it.
    pub fn new(shared: Arc<Shared>, content: Content, faults: &Faults, sent: Arc<AtomicU64>) -> Self {
        let left = content.length();
        let (sender, chunks) = mpsc::channel(2);
        let cut = faults.find(|fault| match fault {
            Fault::TruncateAnswer { after } => Some((*after, None)),
            Fault::Stall { at: StallPoint::MidAnswer { after }, lasting } => Some((*after, Some(*lasting))),
            _ => None,
        });
        if left > 0 {
            tokio::spawn(produce(shared, content, cut, sender));
        }
        Self { chunks, left, sent }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        let polled = self.chunks.poll_recv(context);
        polled.map(|chunk| match chunk {
            Some(Ok(chunk)) => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(closed)) => Some(Err(closed)),
            None if self.left > 0 => Some(Err(Closed)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Sends the content, in two halves where a fault lies between them: `cut` is after how many bytes, and for how long; none is for ever. Ends early when nobody reads.
async fn produce(
    shared: Arc<Shared>,
    content: Content,
    cut: Option<(u64, Option<Lasting>)>,
    sender: mpsc::Sender<Result<Bytes, Closed>>,
) {
    let length = content.length();
    let Some((after, lasting)) = cut.filter(|(after, _)| *after < length) else {
        return send(&content, 0, length, &sender).await;
    };
    send(&content, 0, after, &sender).await;
    match lasting {
        Some(lasting) => {
            shared.pause(lasting).await;
            send(&content, after, length, &sender).await;
        }
        None => {
            // What was handed over has to leave before the error ends the connection: the task that sends it takes it, then writes.
            while sender.capacity() < sender.max_capacity() && !sender.is_closed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
            let _ = sender.send(Err(Closed)).await;
        }
    }
}

/// Sends the bytes of the content between two places.
async fn send(content: &Content, from: u64, to: u64, sender: &mpsc::Sender<Result<Bytes, Closed>>) {
    match content {
        Content::Bytes(bytes) => {
            let part = bytes.iter().skip(index(from)).take(index(to - from));
            let part: Vec<u8> = part.copied().collect();
            let _ = sender.send(Ok(part.into())).await;
        }
        Content::File { path, offset, .. } => {
            let (path, start, length) = (path.clone(), offset + from, to - from);
            let sender = sender.clone();
            let reading = tokio::task::spawn_blocking(move || read(&path, start, length, &sender));
            let _ = reading.await;
        }
    }
}

fn read(path: &PathBuf, start: u64, length: u64, sender: &mpsc::Sender<Result<Bytes, Closed>>) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut rest = file.take(length);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        rest.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() || sender.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
        }
    }
}

/// A place in something that is in memory.
fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
