//! Commands on the table of expectations.

use std::io::Write as _;

use ctnetlink::{Client, request::DumpExpectations};

use crate::{
    arguments::Arguments,
    failure::{Failure, Outcome},
    output::Output,
    report, request,
};

/// The dump of the family that the options name, or of both.
fn dump(arguments: &Arguments) -> DumpExpectations {
    arguments.family.map_or(DumpExpectations::all(), DumpExpectations::of_family)
}

pub fn list(mut arguments: Arguments) -> Outcome {
    let (request, mut client) = (dump(&arguments), Client::open()?);
    let mut output = Output::new(&mut arguments);
    let mut count = 0_u64;
    for expectation in client.dump_expectations(&request)? {
        output.expectation(&expectation?, None)?;
        count += 1;
    }
    output.finish()?;
    report(format_args!("{count} expectations have been shown."));
    Ok(())
}

pub fn count(arguments: &Arguments) -> Outcome {
    let mut client = Client::open()?;
    let expectations: Result<Vec<()>, _> =
        client.dump_expectations(&dump(arguments))?.map(|expectation| expectation.map(drop)).collect();
    Ok(writeln!(std::io::stdout(), "{}", expectations?.len())?)
}

pub fn get(mut arguments: Arguments) -> Outcome {
    let key = request::expectation_key(&arguments)?;
    let expectation = Client::open()?.get_expectation(key)?;
    let expectation = expectation.ok_or_else(|| Failure::failed("Operation failed: there is no such expectation"))?;
    let mut output = Output::new(&mut arguments);
    output.expectation(&expectation, None)?;
    output.finish()?;
    report("1 expectations have been shown.");
    Ok(())
}

pub fn delete(arguments: &Arguments) -> Outcome {
    Client::open()?.delete_expectation(request::expectation_key(arguments)?)?;
    report("1 expectations have been deleted.");
    Ok(())
}

pub fn create(arguments: &Arguments) -> Outcome {
    Client::open()?.create_expectation(&request::expectation(arguments)?)?;
    report("1 expectations have been created.");
    Ok(())
}

pub fn flush() -> Outcome {
    Client::open()?.delete_all_expectations()?;
    report("expectation table has been emptied.");
    Ok(())
}
