//! Commands on the table of flows.

use ctnetlink::Client;

use crate::{
    arguments::Arguments,
    failure::{Failure, Outcome},
    interrupt,
    output::Output,
    report, request,
    selection::Selection,
    table::{self, Changed},
};

pub fn list(mut arguments: Arguments) -> Outcome {
    let selection = Selection::new(&arguments)?;
    let mut output = Output::new(&mut arguments);
    let count = table::each(&mut Client::open()?, &selection, |flow| output.flow(&flow, None))?;
    output.finish()?;
    report(format_args!("{count} flow entries have been shown."));
    Ok(())
}

pub fn get(mut arguments: Arguments) -> Outcome {
    let (key, filter) = (request::key(&arguments)?, Selection::new(&arguments)?.filter);
    let flow = Client::open()?.get(key)?.filter(|flow| filter.matches(flow));
    let flow = flow.ok_or_else(|| Failure::failed("Operation failed: such conntrack doesn't exist"))?;
    let mut output = Output::new(&mut arguments);
    output.flow(&flow, None)?;
    output.finish()?;
    report("1 flow entries have been shown.");
    Ok(())
}

pub fn delete(mut arguments: Arguments) -> Outcome {
    let selection = Selection::new(&arguments)?.refuse_everything(&arguments)?;
    interrupt::listen()?;
    let mut output = Output::new(&mut arguments).for_deletion().of_changes();
    let changed = table::delete(&selection, |flow| output.flow(flow, None));
    finish_changes(changed, output, "deleted")
}

pub fn update(mut arguments: Arguments) -> Outcome {
    let selection = Selection::new(&arguments)?;
    let update = request::some_update(&arguments)?;
    interrupt::listen()?;
    let mut output = Output::new(&mut arguments).of_changes();
    let changed = table::update(&selection, &update, |flow| output.flow(flow, None));
    finish_changes(changed, output, "updated")
}

/// Prints the rest of the output and the count, even if the work stopped early.
fn finish_changes(changed: Changed, output: Output, done: &str) -> Outcome {
    let printed = output.finish();
    if changed.has_count() {
        report(format_args!("{} flow entries have been {done}.", changed.count));
    }
    match changed.into_result()? {
        0 => Err(Failure::Nothing),
        _ => printed,
    }
}

pub fn create(arguments: &Arguments) -> Outcome {
    let flow = request::new_flow(arguments)?;
    Client::open()?.create(&flow).map_err(|error| match error.is_already_exists() {
        true => Failure::failed("Operation failed: Such conntrack exists, try -U to update"),
        false => error.into(),
    })?;
    report("1 flow entries have been created.");
    Ok(())
}

/// Creates the flow, or updates an existing flow with the same tuple.
pub fn add(arguments: &Arguments) -> Outcome {
    let flow = request::new_flow(arguments)?;
    let mut client = Client::open()?;
    match client.create(&flow) {
        Err(error) if error.is_already_exists() => {
            let key = request::key(arguments)?;
            if let Some(existing) = client.get(key)? {
                request::Answers::new(arguments).check(&existing)?;
            }
            client.update(key, &request::update_to(&flow))?;
        }
        other => other?,
    }
    report("1 flow entries have been added.");
    Ok(())
}

pub fn flush(arguments: &Arguments) -> Outcome {
    let mut client = Client::open()?;
    match arguments.family {
        Some(family) => client.delete_family(family)?,
        None => client.delete_all()?,
    }
    report("connection tracking table has been emptied.");
    Ok(())
}
