//! Answers of many messages: dumps, and the raw answer to any request.

use core::marker::PhantomData;

use super::Client;
use crate::{
    error::{DecodeError, Error, Operation},
    exchange::{Connection, Progress, ReplyCursor, complete},
    filter::{Filter, KernelFilter},
    model::{Expectation, ExpectationRef, Flow, FlowRef, Timestamp},
    request::{DumpExpectations, DumpFlows, Request},
    wire::RawMessage,
};

/// The entries of a table, as they arrive.
///
/// An iterator over values, [`Flow`] or [`Expectation`]; [`next_view`](Self::next_view) lends each entry without a copy
/// instead. Memory does not grow with the table. Dropping a dump early aborts it, and the client is free for the next
/// request.
///
/// The kernel walks the table while it changes. A flow that is there throughout is reported once, with two exceptions: if
/// the flow at which the kernel paused has ended, the flows of its hash bucket are reported again, and if the table is
/// resized, flows can be reported twice or not at all. Nothing marks either case. Identifier, original tuple and zone
/// identify duplicates.
///
/// # Examples
///
/// ```no_run
/// use ctnetlink::{Client, Error};
///
/// let mut client = Client::open()?;
/// let flows: Vec<_> = client.dump()?.collect::<Result<_, Error>>()?;
///
/// let mut bytes = 0;
/// let mut dump = client.dump()?;
/// while let Some(flow) = dump.next_view()? {
///     bytes += flow.total_counters().map_or(0, |counters| counters.bytes);
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is received until the dump is read"]
pub struct Dump<'c, T = Flow> {
    connection: &'c mut Connection,
    /// The dump that is under way.
    replies: Option<ReplyCursor>,
    /// The dumps to follow.
    planned: std::vec::IntoIter<KernelFilter>,
    selection: Option<Selection>,
    entry: PhantomData<fn() -> T>,
}

/// The filter that entries are compared with once more, and the time that ages count to.
#[derive(Debug)]
struct Selection {
    filter: Filter,
    now: Timestamp,
}

/// The state of a dump within the datagram that was received last.
#[derive(Clone, Copy, Debug)]
pub(super) enum DumpStep {
    Entry,
    /// The end of the last dump.
    End,
    /// Another datagram is needed.
    Receive,
    /// The next dump has to be started.
    Start(KernelFilter),
}

/// An entry that a [`Dump`] can yield: [`Flow`] or [`Expectation`].
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::{Dump, Entry, Error, request::DumpExpectations};
///
/// fn first<T: Entry>(mut dump: Dump<'_, T>) -> Result<Option<T>, Error> {
///     dump.next().transpose()
/// }
/// println!("{:?}", first(client.dump()?)?);
/// println!("{:?}", first(client.dump_expectations(&DumpExpectations::all())?)?);
/// # Ok::<(), ctnetlink::Error>(())
/// ```
pub trait Entry: Sized + sealed::SealedEntry {
    /// The entry in the receive buffer.
    type View<'a>;

    #[doc(hidden)]
    fn view<'a>(message: &RawMessage<'a>) -> Result<Self::View<'a>, DecodeError>;

    #[doc(hidden)]
    fn value(message: &RawMessage<'_>) -> Result<Self, DecodeError>;

    #[doc(hidden)]
    fn is_matched(view: &Self::View<'_>, filter: &Filter, now: Timestamp) -> bool;
}

mod sealed {
    #[allow(unnameable_types, reason = "nobody else is to implement it")]
    pub trait SealedEntry {}
    impl SealedEntry for super::Flow {}
    impl SealedEntry for super::Expectation {}
}

impl Entry for Flow {
    type View<'a> = FlowRef<'a>;

    #[inline]
    fn view<'a>(message: &RawMessage<'a>) -> Result<FlowRef<'a>, DecodeError> {
        FlowRef::parse(message)
    }

    #[inline]
    fn value(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
        Self::decode(message)
    }

    fn is_matched(view: &FlowRef<'_>, filter: &Filter, now: Timestamp) -> bool {
        filter.matches_at(view, now)
    }
}

impl Entry for Expectation {
    type View<'a> = ExpectationRef<'a>;

    #[inline]
    fn view<'a>(message: &RawMessage<'a>) -> Result<ExpectationRef<'a>, DecodeError> {
        ExpectationRef::parse(message)
    }

    #[inline]
    fn value(message: &RawMessage<'_>) -> Result<Self, DecodeError> {
        Self::decode(message)
    }

    /// Filters select flows: no dump of expectations has one.
    fn is_matched(_: &ExpectationRef<'_>, _: &Filter, _: Timestamp) -> bool {
        true
    }
}

impl<'c, T: Entry> Dump<'c, T> {
    async fn started(request: &impl Request, connection: &'c mut Connection) -> Result<Self, Error> {
        let replies = Some(connection.start(request).await?);
        Ok(Self { connection, replies, planned: Vec::new().into_iter(), selection: None, entry: PhantomData })
    }

    /// Returns the next entry in the receive buffer, or `Ok(None)` after the last.
    ///
    /// # Errors
    ///
    /// An error of the kernel or the socket ends the dump. After an entry that does not decode
    /// ([`ErrorKind::Decode`](crate::ErrorKind::Decode)) the dump goes on.
    #[inline]
    pub fn next_view(&mut self) -> Result<Option<T::View<'_>>, Error> {
        match self.next_message()? {
            Some(message) => Ok(Some(T::view(&message)?)),
            None => Ok(None),
        }
    }

    /// The next entry that the filter matches, if there is a filter.
    #[inline]
    fn next_message(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        match (&mut self.replies, &self.selection) {
            (Some(replies), None) if self.planned.as_slice().is_empty() => replies.next_blocking(self.connection),
            _ => self.next_selected(),
        }
    }

    fn next_selected(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        loop {
            match self.step()? {
                // Found once already: reading it again frees the loop from holding it while the buffer is filled.
                DumpStep::Entry => return Ok(self.current()),
                DumpStep::End => return Ok(None),
                needed => complete(self.provide(needed))?,
            }
        }
    }

    /// Returns the next entry once it has arrived, like [`next_view`](Self::next_view) over a transport that blocks.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) async fn next_view_async(&mut self) -> Result<Option<T::View<'_>>, Error> {
        if self.advance().await? { self.current_view() } else { Ok(None) }
    }

    /// Returns the value of the next entry.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) async fn next_async(&mut self) -> Result<Option<T>, Error> {
        let message = if self.advance().await? { self.current() } else { None };
        Ok(message.map(|message| T::value(&message)).transpose()?)
    }

    /// Goes on to the next entry that the filter matches; `false` at the end of the last dump.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    async fn advance(&mut self) -> Result<bool, Error> {
        loop {
            match self.step()? {
                DumpStep::Entry => return Ok(true),
                DumpStep::End => return Ok(false),
                needed => self.provide(needed).await?,
            }
        }
    }

    /// The entry that [`step`](Self::step) went on to.
    pub(super) fn current_view(&self) -> Result<Option<T::View<'_>>, Error> {
        Ok(self.current().map(|message| T::view(&message)).transpose()?)
    }

    /// The message of that entry.
    pub(super) fn current(&self) -> Option<RawMessage<'_>> {
        self.replies.as_ref().and_then(|replies| replies.current(self.connection))
    }

    /// Goes on to the next entry that the filter matches in the received datagram.
    pub(super) fn step(&mut self) -> Result<DumpStep, Error> {
        self.search().map_err(|error| self.end(error))
    }

    fn search(&mut self) -> Result<DumpStep, Error> {
        loop {
            let Some(replies) = &mut self.replies else {
                return Ok(self.planned.as_slice().first().map_or(DumpStep::End, |filter| DumpStep::Start(*filter)));
            };
            match (replies.step(self.connection)?, &self.selection) {
                (Progress::Receive, _) => return Ok(DumpStep::Receive),
                (Progress::End, _) => self.replies = None,
                (Progress::Item, None) => return Ok(DumpStep::Entry),
                (Progress::Item, Some(Selection { filter, now })) => {
                    let Some(message) = replies.current(self.connection) else { continue };
                    if T::is_matched(&T::view(&message)?, filter, *now) {
                        return Ok(DumpStep::Entry);
                    }
                }
            }
        }
    }

    /// Sends or receives for the next step. Nothing changes if the future is dropped before it has done so.
    pub(super) async fn provide(&mut self, needed: DumpStep) -> Result<(), Error> {
        let provided = match (needed, &mut self.replies) {
            (DumpStep::Start(filter), _) => match self.connection.start(&DumpFlows::new().matching(filter)).await {
                Ok(replies) => {
                    self.planned.next();
                    self.replies = Some(replies);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            (DumpStep::Receive, Some(replies)) => replies.receive(self.connection).await,
            _ => Ok(()),
        };
        provided.map_err(|error| self.end(error))
    }

    /// An error of the kernel or the socket ends the dumps that were to follow too.
    #[cold]
    fn end(&mut self, error: Error) -> Error {
        if error.ends_answer() {
            self.planned = Vec::new().into_iter();
        }
        error
    }
}

impl<'c> Dump<'c, Flow> {
    /// The dumps that a plan wants, one after the other. Their entries are compared with the filter again if there is one.
    pub(super) fn planned(filter: Option<Filter>, dumps: &[KernelFilter], connection: &'c mut Connection) -> Self {
        Self {
            connection,
            replies: None,
            planned: Vec::from(dumps).into_iter(),
            selection: filter.map(|filter| Selection { filter, now: Timestamp::now() }),
            entry: PhantomData,
        }
    }
}

impl<T: Entry> Iterator for Dump<'_, T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_message() {
            Ok(Some(message)) => Some(T::value(&message).map_err(Error::from)),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Client {
    /// Dumps all flows of the network namespace, of both families.
    ///
    /// # Errors
    ///
    /// Fails if the request cannot be sent. If the kernel refuses it, the error is yielded as an item.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// for flow in client.dump()? {
    ///     println!("{}", flow?);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn dump(&mut self) -> Result<Dump<'_>, Error> {
        complete(self.dump_async())
    }

    pub(crate) async fn dump_async(&mut self) -> Result<Dump<'_>, Error> {
        Dump::started(&DumpFlows::new(), &mut self.connection).await
    }

    /// Dumps the flows that a filter matches.
    ///
    /// The kernel selects as much as it evaluates correctly ([`Filter::plan`] shows it). Every flow is then
    /// compared with the whole filter.
    ///
    /// # Errors
    ///
    /// Fails if the kernel's capabilities cannot be probed. If the kernel refuses the dump, the error is yielded as an item.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// let marked = "mark 7".parse()?;
    /// println!("{} flows", client.dump_matching(&marked)?.count());
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn dump_matching(&mut self, filter: &Filter) -> Result<Dump<'_>, Error> {
        complete(self.dump_matching_async(filter))
    }

    pub(crate) async fn dump_matching_async(&mut self, filter: &Filter) -> Result<Dump<'_>, Error> {
        let capabilities = self.capabilities_for(Operation::DumpFlows).await?;
        Ok(Dump::planned(Some(filter.clone()), filter.plan(&capabilities).dumps(), &mut self.connection))
    }

    /// Dumps the flows that a request asks for: of another table, of one family, or with counters set to zero.
    ///
    /// # Errors
    ///
    /// As for [`dump`](Self::dump).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::{Family, request::DumpFlows};
    ///
    /// for flow in client.dump_with(&DumpFlows::new().of_family(Family::IPV6))? {
    ///     println!("{}", flow?);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn dump_with(&mut self, request: &DumpFlows) -> Result<Dump<'_>, Error> {
        complete(self.dump_with_async(request))
    }

    pub(crate) async fn dump_with_async(&mut self, request: &DumpFlows) -> Result<Dump<'_>, Error> {
        Dump::started(request, &mut self.connection).await
    }

    /// Dumps all expectations, or those that a request selects by family or master.
    ///
    /// # Errors
    ///
    /// As for [`dump`](Self::dump).
    ///
    /// # Example
    ///
    /// ```no_run
    /// # let mut client = ctnetlink::Client::open()?;
    /// use ctnetlink::request::DumpExpectations;
    ///
    /// for expectation in client.dump_expectations(&DumpExpectations::all())? {
    ///     println!("{}", expectation?);
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    pub fn dump_expectations(&mut self, request: &DumpExpectations) -> Result<Dump<'_, Expectation>, Error> {
        complete(self.dump_expectations_async(request))
    }

    pub(crate) async fn dump_expectations_async(
        &mut self,
        request: &DumpExpectations,
    ) -> Result<Dump<'_, Expectation>, Error> {
        Dump::started(request, &mut self.connection).await
    }

    /// Sends any request and returns the messages of its answer, for attributes that this crate does not know yet.
    ///
    /// The request is sent as it is: the kernel finds the flow of a key by either of its tuples (see
    /// [`get`](Self::get) for a lookup that compares the direction).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ctnetlink::{Client, FlowRef, request::DumpFlows};
    ///
    /// let mut client = Client::open()?;
    /// let mut replies = client.request(&DumpFlows::new())?;
    /// while let Some(message) = replies.next_view()? {
    ///     for attribute in FlowRef::parse(&message)?.attributes() {
    ///         println!("{:?}", attribute?);
    ///     }
    /// }
    /// # Ok::<(), ctnetlink::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the request cannot be sent. If the kernel refuses it, reading the answer fails.
    pub fn request(&mut self, request: &impl Request) -> Result<ReplyStream<'_>, Error> {
        complete(self.request_async(request))
    }

    pub(crate) async fn request_async(&mut self, request: &impl Request) -> Result<ReplyStream<'_>, Error> {
        let replies = self.connection.start(request).await?;
        Ok(ReplyStream { replies, connection: &mut self.connection })
    }
}

/// The messages of an answer, as they arrive. Dropping it early aborts the exchange, and the client is free for the next
/// request.
///
/// # Example
///
/// ```no_run
/// # let mut client = ctnetlink::Client::open()?;
/// use ctnetlink::request::DumpFlows;
///
/// let mut replies = client.request(&DumpFlows::new())?;
/// while let Some(message) = replies.next_view()? {
///     println!("{:?}", message.header());
/// }
/// # Ok::<(), ctnetlink::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is received until `next_view` is called"]
pub struct ReplyStream<'c> {
    replies: ReplyCursor,
    connection: &'c mut Connection,
}

impl ReplyStream<'_> {
    /// Returns the next message in the receive buffer, or `Ok(None)` after the last: an acknowledgement or the end of a
    /// dump ends the answer.
    ///
    /// # Errors
    ///
    /// An error of the kernel or the socket ends the answer. After bytes that are not a message
    /// ([`ErrorKind::Decode`](crate::ErrorKind::Decode)) it goes on.
    pub fn next_view(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        self.replies.next_blocking(self.connection)
    }

    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub(crate) async fn next_view_async(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        self.replies.next(self.connection).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Errno, ErrorKind, Family,
        exchange::script::{self, Script, acknowledgement, entry},
    };

    #[test]
    fn dump_that_cannot_begin_is_the_last() {
        let script = Script { send_failures: [Errno::ENOBUFS].into(), ..Script::default() };
        let mut connection: Connection = Connection::new(Box::new(script), None);
        let families = [Family::IPV4, Family::IPV6].map(KernelFilter::of_family);
        let mut flows = Dump::planned(Some(Filter::everything()), &families, &mut connection);
        assert_eq!(flows.next().unwrap().unwrap_err().kind(), ErrorKind::Overrun);
        assert!(flows.next().is_none());
    }

    #[test]
    fn refused_dump_is_the_last() {
        let steps = [script::ScriptStep::Datagram([entry(1, 5), acknowledgement(1, Errno::EBUSY)].concat(), 0)];
        let script = Script { steps: steps.into(), ..Script::default() };
        let mut connection: Connection = Connection::new(Box::new(script), None);
        let families = [Family::IPV4, Family::IPV6].map(KernelFilter::of_family);
        let mut flows = Dump::planned(Some(Filter::everything()), &families, &mut connection);
        assert_eq!(flows.next().unwrap().unwrap().original.source_port(), Some(5));
        assert!(flows.next_view().unwrap_err().is_busy());
        assert!(flows.next().is_none());
    }
}
