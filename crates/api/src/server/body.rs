//! Bodies between the connections, which wait for nobody, and the threads that answer, which wait.

use hyper::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces on their way, at most.
const AHEAD: usize = 8;
/// Of what is written in small pieces, so much is sent at once.
const PIECE: usize = 64 * 1024;

/// What a client sends, read by a thread that may wait.
#[derive(Debug)]
pub(crate) struct Upload {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Upload {
    pub(crate) fn new(mut body: Incoming) -> Self {
        let (send, pieces) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                let piece = match frame {
                    Ok(frame) => match frame.into_data() {
                        Ok(piece) => Ok(piece),
                        Err(_trailers) => continue,
                    },
                    Err(e) => Err(io::Error::other(e)),
                };
                let failed = piece.is_err();
                if send.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        Self {
            pieces,
            current: Bytes::new(),
        }
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// What a client gets: all at once, or as it comes.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all)))),
            Self::Pieces(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |all| all.len() as u64))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Writes an answer as it comes. What is written small is kept until it is flushed.
#[derive(Debug)]
pub(crate) struct Download {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    kept: Vec<u8>,
}

impl Download {
    pub(crate) fn new() -> (Self, Outgoing) {
        let (pieces, receive) = mpsc::channel(AHEAD);
        let kept = Vec::new();
        (Self { pieces, kept }, Outgoing::Pieces(receive))
    }

    /// The client has gone: nobody reads what would come.
    pub(crate) fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Breaks the answer off, so that it is not taken for a whole one.
    pub(crate) fn fail(self, error: io::Error) {
        let _ = self.pieces.blocking_send(Err(error));
    }

    fn push(&self, piece: Bytes) -> io::Result<()> {
        let sent = self.pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// One JSON document and a line end, seen at once.
    pub(crate) fn document(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self, value)?;
        self.write_all(b"\r\n")?;
        self.flush()
    }
}

impl Write for Download {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.kept);
        self.push(piece.into())
    }
}
