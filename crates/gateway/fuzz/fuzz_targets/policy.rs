//! Policies: no text makes the reader panic, and each problem is said at a place that the text has.
#![no_main]

use std::path::Path;

use gatehouse_gateway::policy::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // A policy may name files; those of the machine are none of the fuzzer's business.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    match Policy::parse(&text, Path::new("/nonexistent")) {
        Ok(policy) => drop(policy.summary().to_string()),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines: Vec<&str> = text.split('\n').collect();
            for problem in problems {
                assert!((1..=lines.len()).contains(&problem.line), "{problem} of {} lines", lines.len());
                let columns = lines[problem.line - 1].chars().count() + 1;
                assert!((1..=columns).contains(&problem.column), "{problem} of {columns} columns");
                assert!(!problem.message.is_empty() && !problem.message.contains('\0'));
            }
        }
    }
});
