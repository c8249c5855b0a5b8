//! Every fault that a socket can have, played from a script.

use std::time::Duration;

use super::{
    BatchOutcome, Connection, PendingBatch, Transport as _, Wait,
    connection::complete,
    script::{Script, ScriptStep, acknowledgement, control, done, entry, tuple},
};
use crate::{
    Errno, Error, ErrorKind, Flow, FlowKey, Tuple,
    request::{DeleteFlow, DumpFlows, FlowUpdate, GetFlow, UpdateFlow},
    wire::{AttributeSet, Encoder, Flags, MessageType},
};

fn connection(steps: impl IntoIterator<Item = ScriptStep>) -> Connection<Script> {
    let script = Script { steps: steps.into_iter().collect(), ..Script::default() };
    Connection::new(script, Some(Duration::from_secs(10)))
}

fn kernel(bytes: Vec<u8>) -> ScriptStep {
    ScriptStep::Datagram(bytes, 0)
}

const SUCCESS: Errno = Errno(0);

/// The source ports of a dump, or the error that ended it.
fn dump(connection: &mut Connection<Script>) -> Result<Vec<u16>, Error> {
    let mut replies = complete(connection.start(&DumpFlows::new()))?;
    let mut ports = Vec::new();
    while let Some(message) = replies.next_blocking(connection)? {
        ports.extend(Flow::decode(&message)?.original.source_port());
    }
    Ok(ports)
}

#[test]
fn a_dump_ends_with_done() {
    let mut connection =
        connection([kernel([entry(1, 5), entry(1, 6)].concat()), kernel(entry(1, 7)), kernel(done(1, 0))]);
    assert_eq!(dump(&mut connection).unwrap(), [5, 6, 7]);
    assert_eq!(connection.transport().renewals, 0);
}

#[test]
fn what_is_from_another_sender_is_dropped() {
    let mut connection = connection([
        ScriptStep::Datagram(entry(1, 66), 4711),
        kernel(entry(1, 5)),
        ScriptStep::Datagram(done(1, 0), 4711),
        kernel(entry(1, 6)),
        kernel(done(1, 0)),
    ]);
    assert_eq!(dump(&mut connection).unwrap(), [5, 6]);
}

#[test]
fn what_answers_another_request_is_passed_over() {
    let mut connection = connection([
        kernel([entry(9, 66), entry(1, 5), acknowledgement(9, Errno::ENOENT)].concat()),
        kernel(done(8, 0)),
        kernel([entry(0, 67), done(1, 0)].concat()),
    ]);
    assert_eq!(dump(&mut connection).unwrap(), [5]);
}

#[test]
fn an_error_in_the_middle_ends_a_dump_and_frees_the_connection() {
    let mut connection =
        connection([kernel(entry(1, 5)), kernel(acknowledgement(1, Errno::EBUSY)), kernel(done(2, 0))]);
    let error = dump(&mut connection).unwrap_err();
    assert!(error.is_busy());
    assert!(error.to_string().contains("another dump is running"), "{error}");
    assert!(dump(&mut connection).unwrap().is_empty());
    assert_eq!(connection.transport().renewals, 0);
}

#[test]
fn an_error_in_done_is_an_error() {
    let mut connection = connection([kernel(entry(1, 5)), kernel(done(1, -Errno::ENOMEM.0))]);
    assert_eq!(dump(&mut connection).unwrap_err().errno(), Some(Errno::ENOMEM));
}

#[test]
fn a_done_that_never_comes_is_a_time_out_and_the_next_request_starts_anew() {
    let mut connection = connection([kernel(entry(1, 5))]);
    assert!(dump(&mut connection).unwrap_err().is_timed_out());
    connection.transport_mut().steps.push_back(kernel(done(2, 0)));
    assert!(dump(&mut connection).unwrap().is_empty());
    assert_eq!(connection.transport().renewals, 1);
}

#[test]
fn where_no_new_socket_is_to_be_had_the_rest_of_an_abandoned_dump_is_drained() {
    let mut connection = connection([
        kernel([entry(1, 5), entry(1, 6)].concat()),
        kernel(entry(1, 7)),
        kernel(done(1, 0)),
        kernel(entry(2, 8)),
        kernel(done(2, 0)),
    ]);
    connection.transport_mut().cannot_renew = true;
    let mut abandoned = complete(connection.start(&DumpFlows::new())).unwrap();
    assert!(abandoned.next_blocking(&mut connection).unwrap().is_some());
    assert_eq!(dump(&mut connection).unwrap(), [8]);
}

/// The answer to a get carries MULTI, but no DONE follows it.
#[test]
fn a_get_ends_with_its_acknowledgement() {
    let mut connection = connection([kernel(entry(1, 5)), kernel(acknowledgement(1, SUCCESS))]);
    let flow = complete(connection.fetch(&GetFlow::new(FlowKey::original(tuple(5))), Flow::decode)).unwrap();
    assert_eq!(flow.unwrap().original, tuple(5));
}

#[test]
fn an_acknowledgement_without_an_answer_is_none() {
    let mut connection = connection([kernel(acknowledgement(1, SUCCESS))]);
    assert_eq!(complete(connection.fetch(&GetFlow::new(FlowKey::original(tuple(5))), Flow::decode)).unwrap(), None);
}

#[test]
fn interrupted_calls_are_repeated() {
    let mut connection = connection([
        ScriptStep::Failure(Errno::EINTR),
        kernel(entry(1, 5)),
        ScriptStep::Failure(Errno::EINTR),
        kernel(done(1, 0)),
    ]);
    assert_eq!(dump(&mut connection).unwrap(), [5]);
}

/// The transport's own time-out restarts with each receive.
#[test]
fn an_interruption_does_not_prolong_the_wait() {
    let interrupted = [
        ScriptStep::Failure(Errno::EINTR),
        ScriptStep::Datagram(done(1, 0), 4711),
        ScriptStep::EMPTY,
        kernel(done(1, 0)),
    ];
    let mut connection = connection(interrupted);
    assert!(dump(&mut connection).unwrap().is_empty());
    assert_eq!(connection.transport().waits, [Wait::Yes, Wait::No, Wait::No, Wait::No]);
    let script = Script { steps: [ScriptStep::Failure(Errno::EINTR)].into(), ..Script::default() };
    let mut impatient = Connection::new(script, Some(Duration::from_millis(20)));
    assert!(dump(&mut impatient).unwrap_err().is_timed_out());
}

#[test]
fn look_alikes_do_not_hold_up_who_does_not_wait() {
    let look_alikes = (0..5).map(|_| ScriptStep::Datagram(done(1, 0), 4711)).collect();
    let mut impatient = Connection::new(Script { steps: look_alikes, ..Script::default() }, Some(Duration::ZERO));
    assert!(complete(impatient.fill(Wait::No)).unwrap_err().is_timed_out());
    assert_eq!(impatient.transport().steps.len(), 4);
}

#[test]
fn lost_messages_are_an_overrun() {
    let mut connection = connection([kernel(entry(1, 5)), ScriptStep::Failure(Errno::ENOBUFS)]);
    assert!(dump(&mut connection).unwrap_err().is_overrun());
}

#[test]
fn a_truncated_datagram_is_an_error_that_tells_its_length() {
    let mut connection = connection([ScriptStep::Truncated(40_000)]);
    assert_eq!(dump(&mut connection).unwrap_err().truncated_length(), Some(40_000));
}

#[test]
fn bytes_that_are_no_message_are_an_error_and_not_the_end() {
    let mut garbled = entry(1, 5);
    garbled[0] = 8;
    let mut connection = connection([kernel(garbled), kernel(entry(1, 6)), kernel(done(1, 0))]);
    let mut replies = complete(connection.start(&DumpFlows::new())).unwrap();
    assert!(replies.next_blocking(&mut connection).unwrap_err().decode_error().is_some());
    assert!(replies.next_blocking(&mut connection).unwrap().is_some());
    assert!(replies.next_blocking(&mut connection).unwrap().is_none());
}

#[test]
fn an_extended_acknowledgement_names_the_attribute() {
    let mut payload = (-Errno::ERANGE.0).to_ne_bytes().to_vec();
    payload.extend([0; 16]);
    let mut attributes = [0; 64];
    let mut encoder = Encoder::new(&mut attributes);
    encoder.text(1, "Attribute failed policy validation");
    // CTA_IP_V4_DST follows the headers of the tuple and of the addresses, and the source.
    encoder.u32_host(2, 16 + 4 + 4 + 4 + 8);
    let length = encoder.finish().unwrap();
    payload.extend(&attributes[..length]);
    let flags = Flags::CAPPED | Flags::ACKNOWLEDGEMENT_ATTRIBUTES;
    let mut connection = connection([kernel(control(MessageType::ERROR, flags, 1, &payload))]);
    let error = complete(connection.execute(&DeleteFlow::new(FlowKey::original(tuple(5))))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot delete flow: ERANGE (the kernel says \"Attribute failed policy validation\", \
         at CTA_TUPLE_ORIG > CTA_TUPLE_IP > CTA_IP_V4_DST)"
    );
    assert_eq!(AttributeSet::Acknowledgement.attribute_name(1), Some("NLMSGERR_ATTR_MSG"));
}

/// Without `NETLINK_CAP_ACK` the whole request stands before the kernel's text.
#[test]
fn an_extended_acknowledgement_behind_the_whole_request_is_read() {
    let mut connection = connection([]);
    let request = DeleteFlow::new(FlowKey::original(tuple(5)));
    assert!(complete(connection.execute(&request)).unwrap_err().is_timed_out());
    let mut payload = (-Errno::EINVAL.0).to_ne_bytes().to_vec();
    payload.extend(&connection.transport().sent[0]);
    let mut attributes = [0; 64];
    let mut encoder = Encoder::new(&mut attributes);
    encoder.text(1, "reserved bit set");
    encoder.u32_host(2, 16 + 4);
    let length = encoder.finish().unwrap();
    payload.extend(&attributes[..length]);
    let answer = control(MessageType::ERROR, Flags::ACKNOWLEDGEMENT_ATTRIBUTES, 2, &payload);
    connection.transport_mut().steps.push_back(kernel(answer));
    let error = complete(connection.execute(&request)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot delete flow: EINVAL: the tuple is incomplete (the kernel says \"reserved bit set\", at CTA_TUPLE_ORIG)"
    );
}

#[test]
fn a_send_that_is_interrupted_is_repeated() {
    let mut connection = connection([kernel(done(1, 0))]);
    connection.transport_mut().send_failures.extend([Errno::EINTR, Errno::EINTR]);
    assert!(dump(&mut connection).unwrap().is_empty());
}

#[test]
fn a_send_that_fails_is_an_error_and_nothing_is_waited_for() {
    let mut connection = connection([kernel(done(2, 0))]);
    connection.transport_mut().send_failures.push_back(Errno::ENOBUFS);
    assert_eq!(dump(&mut connection).unwrap_err().errno(), Some(Errno::ENOBUFS));
    assert!(dump(&mut connection).unwrap().is_empty());
    assert_eq!(connection.transport().renewals, 0);
}

#[test]
fn a_batch_that_cannot_be_sent_is_told_and_not_sent_again() {
    let mut connection = connection([kernel(acknowledgement(4, SUCCESS))]);
    connection.transport_mut().send_failures.push_back(Errno::EMSGSIZE);
    let mut batch = PendingBatch::default();
    for port in 1..=3 {
        complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(port))))).unwrap();
    }
    assert_eq!(complete(batch.send(&mut connection)).unwrap_err().errno(), Some(Errno::EMSGSIZE));
    complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(4))))).unwrap();
    let report = complete(batch.finish(&mut connection)).unwrap();
    assert_eq!((report.operations(), report.unanswered(), report.succeeded()), (4, 3, 1));
}

#[test]
fn answers_to_a_batch_that_are_cut_off_are_an_error() {
    let whole = acknowledgement(1, Errno::ENOENT);
    for length in 1..whole.len() {
        let mut connection = connection([kernel(whole[..length].to_vec())]);
        assert_eq!(batch(&mut connection, 2).unwrap_err().kind(), ErrorKind::Decode, "{length} bytes");
    }
}

#[test]
fn a_cut_off_error_is_a_refusal_without_a_number() {
    let mut connection = connection([kernel(control(MessageType::ERROR, Flags::empty(), 1, &[1, 2]))]);
    assert_eq!(
        complete(connection.execute(&DeleteFlow::new(FlowKey::original(tuple(5))))).unwrap_err().errno(),
        Some(SUCCESS)
    );
}

fn batch(connection: &mut Connection<Script>, operations: u16) -> Result<Vec<(usize, Errno)>, Error> {
    let mut batch = PendingBatch::default();
    for port in 1..=operations {
        complete(batch.push(connection, &DeleteFlow::new(FlowKey::original(tuple(port)))))?;
    }
    let report = complete(batch.finish(connection))?;
    assert_eq!(report.operations(), usize::from(operations));
    Ok(report.failures().iter().map(|(place, error)| (*place, error.errno())).collect())
}

#[test]
fn only_the_last_of_a_batch_is_acknowledged() {
    let mut connection = connection([kernel(acknowledgement(3, SUCCESS))]);
    assert_eq!(batch(&mut connection, 3).unwrap(), []);
    let messages = crate::wire::Messages::new(&connection.transport().sent[0]);
    let acknowledged: Vec<bool> =
        messages.map(|message| message.unwrap().header().flags.contains(Flags::ACK)).collect();
    assert_eq!(acknowledged, [false, false, true]);
}

#[test]
fn answers_out_of_place_twice_and_foreign_are_sorted_out() {
    let mut connection = connection([
        kernel(acknowledgement(3, Errno::ENOENT)),
        kernel(acknowledgement(77, Errno::EBUSY)),
        ScriptStep::Datagram(acknowledgement(2, Errno::EPERM), 4711),
        kernel([acknowledgement(1, Errno::ENOENT), acknowledgement(1, Errno::ENOENT)].concat()),
        kernel(acknowledgement(4, SUCCESS)),
    ]);
    assert_eq!(batch(&mut connection, 4).unwrap(), [(0, Errno::ENOENT), (2, Errno::ENOENT)]);
}

/// Without permission the kernel answers the first of a batch and nothing else.
#[test]
fn a_batch_without_permission_fails_whole_and_at_once() {
    let mut connection = connection([kernel(acknowledgement(1, Errno::EPERM))]);
    assert_eq!(batch(&mut connection, 3).unwrap(), [(0, Errno::EPERM), (1, Errno::EPERM), (2, Errno::EPERM)]);
}

#[test]
fn an_update_of_a_fixed_timeout_does_not_fail_the_batch_behind_it() {
    let mut connection = connection([kernel(acknowledgement(1, Errno::EPERM)), kernel(acknowledgement(2, SUCCESS))]);
    let update = FlowUpdate::new().timeout(1);
    let mut batch = PendingBatch::default();
    for port in 1..=2 {
        complete(batch.push(&mut connection, &UpdateFlow::new(FlowKey::original(tuple(port)), &update))).unwrap();
    }
    let report = complete(batch.finish(&mut connection)).unwrap();
    assert_eq!(report.failures().len(), 1);
}

/// A refusal takes 1,280 bytes of the receive buffer on s390x.
#[test]
fn batch_leaves_room_for_refusals_on_every_architecture() {
    let script = Script { most_answers: Some(4), ..Script::default() };
    let room = script.receive_capacity();
    let mut connection = Connection::new(script, None);
    let _ = batch(&mut connection, 100);
    let sent = crate::wire::Messages::new(&connection.transport().sent[0]).count();
    assert!(sent * 1280 <= room && room == 8192, "{sent} answers in {room} bytes");
}

#[test]
fn sequence_numbers_wrap_past_that_of_events() {
    let mut connection = connection([kernel(done(u32::MAX, 0)), kernel(done(1, 0))]);
    connection.set_sequence(u32::MAX - 1);
    assert!(dump(&mut connection).unwrap().is_empty());
    assert!(dump(&mut connection).unwrap().is_empty());
}

/// A number was taken for the operation that could not be encoded: the later answers are still found.
#[test]
fn an_operation_that_cannot_be_encoded_leaves_the_batch_whole() {
    let mut connection = connection([kernel(acknowledgement(1, Errno::EEXIST)), kernel(acknowledgement(3, SUCCESS))]);
    let mut batch = PendingBatch::default();
    let mixed = FlowKey::original(Tuple { destination: "fd00::1".parse().unwrap(), ..tuple(2) });
    complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(1))))).unwrap();
    assert!(complete(batch.push(&mut connection, &DeleteFlow::new(mixed))).unwrap_err().encode_error().is_some());
    complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(3))))).unwrap();
    let report = complete(batch.finish(&mut connection)).unwrap();
    assert_eq!((report.operations(), report.succeeded(), report.failures()[0].0), (2, 1, 0));
}

#[test]
fn a_batch_across_the_end_of_sequence_numbers_finds_its_answers() {
    let mut connection =
        connection([kernel(acknowledgement(u32::MAX, Errno::ENOENT)), kernel(acknowledgement(2, SUCCESS))]);
    connection.set_sequence(u32::MAX - 1);
    assert_eq!(batch(&mut connection, 3).unwrap(), [(0, Errno::ENOENT)]);
}

#[test]
fn what_was_sent_before_the_socket_failed_is_not_sent_again() {
    for failure in [ScriptStep::Failure(Errno::ENOBUFS), ScriptStep::Truncated(40_000), kernel(vec![1, 2, 3])] {
        let mut connection = connection([kernel(acknowledgement(1, Errno::ENOENT)), failure]);
        let mut batch = PendingBatch::default();
        for port in 1..=3 {
            complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(port))))).unwrap();
        }
        assert!(complete(batch.send(&mut connection)).is_err());
        let report = complete(batch.finish(&mut connection)).unwrap();
        assert_eq!((report.operations(), report.unanswered(), report.succeeded()), (3, 2, 0));
        assert_eq!(connection.transport().sent.len(), 1);
    }
}

#[test]
fn an_error_of_the_socket_ends_a_dump() {
    for failure in [ScriptStep::Failure(Errno::ENOBUFS), ScriptStep::Truncated(40_000)] {
        let mut connection = connection([kernel(entry(1, 5)), failure, kernel(done(1, 0))]);
        let mut replies = complete(connection.start(&DumpFlows::new())).unwrap();
        assert!(replies.next_blocking(&mut connection).unwrap().is_some());
        assert!(replies.next_blocking(&mut connection).is_err());
        assert!(replies.next_blocking(&mut connection).unwrap().is_none());
    }
}

#[test]
fn where_no_new_socket_is_to_be_had_a_lost_end_is_waited_for_once() {
    let mut connection = connection([kernel(entry(1, 5))]);
    connection.transport_mut().cannot_renew = true;
    assert!(dump(&mut connection).unwrap_err().is_timed_out());
    connection.transport_mut().steps.extend([]);
    assert!(dump(&mut connection).unwrap_err().is_timed_out());
    assert_eq!(connection.transport().sent.len(), 2, "the second dump was asked for");
}

/// The corpus of the fuzz target. A packaged crate does not contain it.
#[test]
fn kept_inputs_agree_with_the_model() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = |kind| std::fs::read_dir(fuzz.join(kind).join("exchange")).into_iter().flatten();
    let inputs: Vec<_> = ["corpus", "regressions"].into_iter().flat_map(files).collect();
    assert!(inputs.len() >= 50 || !fuzz.exists(), "{} inputs: the corpus is missing", inputs.len());
    for input in inputs {
        let path = input.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(
            std::panic::catch_unwind(|| super::model::check(&bytes)).is_ok(),
            "{} disagrees with the model",
            path.display()
        );
    }
}

#[test]
fn an_operation_without_an_answer_is_neither_done_nor_refused() {
    let mut connection = connection([kernel(acknowledgement(1, Errno::ENOENT)), ScriptStep::Failure(Errno::ENOBUFS)]);
    let mut batch = PendingBatch::default();
    for port in 1..=2 {
        complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(port))))).unwrap();
    }
    assert!(complete(batch.send(&mut connection)).is_err());
    connection.transport_mut().steps.push_back(kernel(acknowledgement(3, SUCCESS)));
    complete(batch.push(&mut connection, &DeleteFlow::new(FlowKey::original(tuple(3))))).unwrap();
    let report = complete(batch.finish(&mut connection)).unwrap();
    let outcomes: Vec<_> = report.outcomes().collect();
    assert!(
        matches!(outcomes[..], [BatchOutcome::Refused(_), BatchOutcome::Unknown, BatchOutcome::Done]),
        "{outcomes:?}"
    );
}
