//! The client, awaited.

use core::future::Future as _;
use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_core::Stream;

use super::reactor::AsyncTransport;
use crate::{
    client::{BulkChange, BulkReport, Entry, NO_OBSERVER, StopHandle, destination_of, reply_key},
    error::{Error, Operation},
    exchange::BatchReport,
    filter::{Capabilities, Filter},
    model::{
        CpuStatistics, Expectation, ExpectationStatistics, Family, Flow, FlowKey, FlowRef, Protocol, TableStatistics,
    },
    request::{
        Command, CreateExpectation, DeleteExpectation, DeleteExpectationsOf, DumpExpectations, DumpFlows,
        ExpectationKey, FlowUpdate, FlushExpectations, FlushFlows, NewFlow, Request,
    },
    wire::RawMessage,
};

/// A client of the connection tracking of one network namespace, for tokio.
///
/// Each method does what the method of the synchronous [`Client`](crate::Client) with the same name does. Convert a
/// synchronous client for the options of its builder, a received descriptor, or a kernel in memory.
///
/// # Cancel safety
///
/// Any future may be dropped, and the next request gets its own answer. Dropping a method that reads changes nothing. A
/// request that creates, changes or deletes one thing was carried out or not sent. A change by a filter has changed some
/// of the flows, and its report is lost; use a [stop handle](Self::stop_handle) to get it. The [module](super) has the
/// whole table.
///
/// # Panics
///
/// Waiting outside of a tokio runtime with I/O and time enabled panics. A client serves the runtime in which it first
/// waits.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::tokio::Client;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = ctnetlink::Client::builder().receive_buffer(1 << 20);
/// let mut client = Client::from(options.open()?);
/// println!("{}", client.delete_matching(&"src 192.0.2.7 and not assured".parse()?).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    inner: crate::Client,
}

impl From<crate::Client> for Client {
    fn from(client: crate::Client) -> Self {
        Self { inner: client.map_transports(AsyncTransport::wrap) }
    }
}

impl Client {
    /// Opens a client in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`open`](crate::Client::open).
    pub fn open() -> Result<Self, Error> {
        crate::Client::open().map(Self::from)
    }

    /// Returns the bytes that the kernel granted for answers: see the synchronous
    /// [`receive_buffer`](crate::Client::receive_buffer).
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        self.inner.receive_buffer()
    }

    /// Returns a handle that ends changes by a filter: see the synchronous
    /// [`stop_handle`](crate::Client::stop_handle). Unlike a dropped future, a stopped change returns its report.
    ///
    /// # Errors
    ///
    /// Fails if the process has too many open files.
    pub fn stop_handle(&self) -> Result<StopHandle, Error> {
        self.inner.stop_handle()
    }

    /// Starts a batch.
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { inner: self.inner.batch() }
    }

    /// Returns the flow that a key names, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`get`](crate::Client::get).
    pub async fn get(&mut self, key: impl Into<FlowKey>) -> Result<Option<Flow>, Error> {
        self.inner.get_async(key.into()).await
    }

    /// Returns the flow that a key names and sets its counters to zero in the same step.
    ///
    /// If the future is dropped, the counters may be zero although nobody read them.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`get_and_zero_counters`](crate::Client::get_and_zero_counters).
    pub async fn get_and_zero_counters(&mut self, key: impl Into<FlowKey>) -> Result<Option<Flow>, Error> {
        self.inner.get_and_zero_counters_async(key.into()).await
    }

    /// Creates a flow.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`create`](crate::Client::create).
    pub async fn create(&mut self, flow: &NewFlow) -> Result<(), Error> {
        self.inner.execute_async(flow).await
    }

    /// Changes a flow. Only the attributes that the update names are sent.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`update`](crate::Client::update).
    pub async fn update(&mut self, key: impl Into<FlowKey>, update: &FlowUpdate) -> Result<(), Error> {
        self.inner.update_async(key.into(), update).await
    }

    /// Deletes one flow.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete`](crate::Client::delete).
    pub async fn delete(&mut self, key: impl Into<FlowKey>) -> Result<(), Error> {
        self.inner.delete_async(key.into()).await
    }

    /// Deletes every flow of the network namespace.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_all`](crate::Client::delete_all).
    pub async fn delete_all(&mut self) -> Result<(), Error> {
        self.inner.execute_async(&FlushFlows::all()).await
    }

    /// Deletes every flow of one family.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_family`](crate::Client::delete_family).
    pub async fn delete_family(&mut self, family: Family) -> Result<(), Error> {
        self.inner.execute_async(&FlushFlows::of_family(family)).await
    }

    /// Sends a request that is answered with an acknowledgement only, and waits for it.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`execute`](crate::Client::execute).
    pub async fn execute(&mut self, request: &impl Command) -> Result<(), Error> {
        self.inner.execute_async(request).await
    }

    /// Dumps all flows of the network namespace, of both families.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`dump`](crate::Client::dump).
    pub async fn dump(&mut self) -> Result<Dump<'_>, Error> {
        Ok(Dump { inner: self.inner.dump_async().await? })
    }

    /// Dumps the flows that a filter matches.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`dump_matching`](crate::Client::dump_matching).
    pub async fn dump_matching(&mut self, filter: &Filter) -> Result<Dump<'_>, Error> {
        Ok(Dump { inner: self.inner.dump_matching_async(filter).await? })
    }

    /// Dumps the flows that a request asks for.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`dump_with`](crate::Client::dump_with).
    pub async fn dump_with(&mut self, request: &DumpFlows) -> Result<Dump<'_>, Error> {
        Ok(Dump { inner: self.inner.dump_with_async(request).await? })
    }

    /// Dumps the expectations that a request asks for.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`dump_expectations`](crate::Client::dump_expectations).
    pub async fn dump_expectations(&mut self, request: &DumpExpectations) -> Result<Dump<'_, Expectation>, Error> {
        Ok(Dump { inner: self.inner.dump_expectations_async(request).await? })
    }

    /// Sends any request and returns the messages of its answer.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`request`](crate::Client::request).
    pub async fn request(&mut self, request: &impl Request) -> Result<ReplyStream<'_>, Error> {
        Ok(ReplyStream { inner: self.inner.request_async(request).await? })
    }

    /// Changes every flow that a filter matches.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`update_matching`](crate::Client::update_matching).
    pub async fn update_matching(&mut self, filter: &Filter, update: &FlowUpdate) -> Result<BulkReport, Error> {
        self.inner.change_matching(filter, BulkChange::Update(update), NO_OBSERVER).await
    }

    /// Changes every flow that a filter matches, and calls `changed` with each flow that was changed, as it was before.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`update_matching_with`](crate::Client::update_matching_with).
    pub async fn update_matching_with(
        &mut self,
        filter: &Filter,
        update: &FlowUpdate,
        mut changed: impl FnMut(FlowRef<'_>),
    ) -> Result<BulkReport, Error> {
        self.inner.change_matching(filter, BulkChange::Update(update), Some(&mut changed)).await
    }

    /// Deletes every flow that a filter matches.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_matching`](crate::Client::delete_matching).
    pub async fn delete_matching(&mut self, filter: &Filter) -> Result<BulkReport, Error> {
        self.inner.change_matching(filter, BulkChange::Delete, NO_OBSERVER).await
    }

    /// Deletes every flow that a filter matches, and calls `deleted` with each flow that was deleted.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_matching_with`](crate::Client::delete_matching_with).
    pub async fn delete_matching_with(
        &mut self,
        filter: &Filter,
        mut deleted: impl FnMut(FlowRef<'_>),
    ) -> Result<BulkReport, Error> {
        self.inner.change_matching(filter, BulkChange::Delete, Some(&mut deleted)).await
    }

    /// Deletes every flow that a filter matches, without a count if the kernel can do it alone.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_matching_uncounted`](crate::Client::delete_matching_uncounted).
    pub async fn delete_matching_uncounted(&mut self, filter: &Filter) -> Result<Option<BulkReport>, Error> {
        self.inner.delete_matching_uncounted_async(filter).await
    }

    /// Returns the address that a peer sent its packets to, before a rule redirected them to a socket of this host.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`original_destination`](crate::Client::original_destination).
    pub async fn original_destination(
        &mut self,
        protocol: Protocol,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Option<SocketAddr>, Error> {
        self.original_destination_in_zone(protocol, peer, local, 0).await
    }

    /// Returns the original destination of a connection in a conntrack zone.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`original_destination_in_zone`](crate::Client::original_destination_in_zone).
    pub async fn original_destination_in_zone(
        &mut self,
        protocol: Protocol,
        peer: SocketAddr,
        local: SocketAddr,
        zone: u16,
    ) -> Result<Option<SocketAddr>, Error> {
        let key = reply_key(protocol, peer, local, zone)?;
        Ok(self.inner.get_async(key).await?.and_then(destination_of))
    }

    /// Returns the number of flows and the most that there may be.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`statistics`](crate::Client::statistics).
    pub async fn statistics(&mut self) -> Result<TableStatistics, Error> {
        self.inner.statistics_async().await
    }

    /// Returns the packet counts of each processor.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`cpu_statistics`](crate::Client::cpu_statistics).
    pub async fn cpu_statistics(&mut self) -> Result<Vec<CpuStatistics>, Error> {
        self.inner.cpu_statistics_async().await
    }

    /// Returns the expectation counts of each processor.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`expectation_statistics`](crate::Client::expectation_statistics).
    pub async fn expectation_statistics(&mut self) -> Result<Vec<ExpectationStatistics>, Error> {
        self.inner.expectation_statistics_async().await
    }

    /// Returns the expectation of a key, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`get_expectation`](crate::Client::get_expectation).
    pub async fn get_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<Option<Expectation>, Error> {
        self.inner.get_expectation_async(key.into()).await
    }

    /// Creates an expectation.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`create_expectation`](crate::Client::create_expectation).
    pub async fn create_expectation(&mut self, expectation: &Expectation) -> Result<(), Error> {
        self.inner.execute_async(&CreateExpectation::new(expectation)).await
    }

    /// Deletes one expectation.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_expectation`](crate::Client::delete_expectation).
    pub async fn delete_expectation(&mut self, key: impl Into<ExpectationKey>) -> Result<(), Error> {
        self.inner.execute_async(&DeleteExpectation(key.into())).await
    }

    /// Deletes every expectation of a helper.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_expectations_of`](crate::Client::delete_expectations_of).
    pub async fn delete_expectations_of(&mut self, helper: &str) -> Result<(), Error> {
        self.inner.execute_async(&DeleteExpectationsOf(helper)).await
    }

    /// Deletes every expectation of the network namespace, of both families.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`delete_all_expectations`](crate::Client::delete_all_expectations).
    pub async fn delete_all_expectations(&mut self) -> Result<(), Error> {
        self.inner.execute_async(&FlushExpectations).await
    }

    /// Returns the filters that this kernel supports. Probed on first use.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`capabilities`](crate::Client::capabilities).
    pub async fn capabilities(&mut self) -> Result<Capabilities, Error> {
        self.inner.capabilities_for(Operation::ProbeFilters).await
    }
}

/// Operations that are sent many at a time and answered one by one: see the synchronous [`Batch`](crate::Batch).
///
/// # Example
///
/// ```no_run
/// use ctnetlink::request::DeleteFlow;
///
/// # async fn example(client: &mut ctnetlink::tokio::Client, keys: Vec<ctnetlink::FlowKey>) -> Result<(), ctnetlink::Error> {
/// let mut batch = client.batch();
/// for key in keys {
///     batch.push(&DeleteFlow::new(key)).await?;
/// }
/// println!("{} deleted", batch.finish().await?.succeeded());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "operations that were not sent yet wait for `finish`"]
pub struct Batch<'c> {
    inner: crate::Batch<'c>,
}

impl Batch<'_> {
    /// Adds an operation, and sends the waiting operations if there are enough.
    ///
    /// Cancel-safe: if the future is dropped, operations that were sent are not sent again, and the report counts them as
    /// unanswered. The operation of this call may be missing then.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`push`](crate::Batch::push).
    pub async fn push(&mut self, request: &impl Command) -> Result<(), Error> {
        self.inner.push_async(request).await
    }

    /// Sends the operations that wait.
    ///
    /// Cancel-safe: if the future is dropped, operations that were sent are not sent again, and the report counts them as
    /// unanswered.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`send`](crate::Batch::send).
    pub async fn send(&mut self) -> Result<(), Error> {
        self.inner.send_async().await
    }

    /// Sends the operations that wait, and reports on every operation of the batch.
    ///
    /// Cancel-safe: if the future is dropped, the client stays usable, and the report is lost.
    ///
    /// # Errors
    ///
    /// Fails like the synchronous [`finish`](crate::Batch::finish).
    pub async fn finish(self) -> Result<BatchReport, Error> {
        self.inner.finish_async().await
    }
}

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
    /// Cancel-safe: no entry is lost if the future is dropped. Fails like [`next_view`](Self::next_view).
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        self.inner.next_async().await.transpose()
    }
}

/// Yields the items of [`next`](Dump::next).
impl<T: Entry> Stream for Dump<'_, T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Nothing is lost when the future is dropped, and the reactor keeps the waker.
        pin!(self.get_mut().next()).poll(context)
    }
}

/// The messages of an answer, as they arrive.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::request::DumpFlows;
///
/// # async fn example(client: &mut ctnetlink::tokio::Client) -> Result<(), ctnetlink::Error> {
/// let mut replies = client.request(&DumpFlows::new()).await?;
/// while let Some(message) = replies.next_view().await? {
///     println!("{:?}", message.header());
/// }
/// # Ok(())
/// # }
/// ```
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
