//! Answers of many messages, awaited.

use core::future::Future as _;
use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::{client::Entry, error::Error, model::Flow, wire::RawMessage};

/// The entries of a table, as they arrive: [`Flow`] or [`Expectation`](crate::Expectation).
///
/// It is a [`Stream`] of values; [`next_view`](Self::next_view) lends each entry without a copy instead. It has the
/// properties of the synchronous [`Dump`](crate::Dump). Every future is cancel-safe.
///
/// # Example
///
/// ```no_run
/// # async fn example(client: &mut ctnetlink::tokio::Client) -> Result<(), ctnetlink::Error> {
/// let mut dump = client.dump().await?;
/// while let Some(flow) = dump.next().await {
///     println!("{}", flow?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is received until the dump is read"]
pub struct Dump<'c, T = Flow> {
    pub(super) inner: crate::Dump<'c, T>,
}

impl<T: Entry> Dump<'_, T> {
    /// Returns the next entry in the receive buffer, or `Ok(None)` after the last.
    ///
    /// Cancel-safe: no entry is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`next_view`](crate::Dump::next_view).
    pub async fn next_view(&mut self) -> Result<Option<T::View<'_>>, Error> {
        self.inner.next_view_async().await
    }

    /// Returns the next entry, or `None` after the last.
    ///
    /// Cancel-safe: no entry is lost if the future is dropped. Errors are those of [`next_view`](Self::next_view).
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        self.inner.next_async().await.transpose()
    }
}

/// Yields what [`next`](Dump::next) yields.
impl<T: Entry> Stream for Dump<'_, T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Nothing is lost when the future is dropped, and the reactor keeps the waker.
        pin!(self.get_mut().next()).poll(context)
    }
}

/// The messages of an answer, as they arrive.
#[derive(Debug)]
#[must_use = "nothing is received until `next_view` is called"]
pub struct ReplyStream<'c> {
    pub(super) inner: crate::ReplyStream<'c>,
}

impl ReplyStream<'_> {
    /// Returns the next message in the receive buffer, or `Ok(None)` after the last.
    ///
    /// Cancel-safe: no message is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`next_view`](crate::ReplyStream::next_view).
    pub async fn next_view(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        self.inner.next_view_async().await
    }
}
