//! Every text, to the byte, and the arithmetic of the bill.

use super::*;
use proptest::prelude::*;

const ID: RequestId = RequestId::from_bytes([0x11; 16]);
const ID_TEXT: &str = "11111111-1111-1111-1111-111111111111";

fn report(duration_us: u64, init_us: Option<u64>, status: Status<'_>) -> String {
    Report {
        request_id: ID,
        duration: Duration::from_micros(duration_us),
        init_duration: init_us.map(Duration::from_micros),
        init_billed: true,
        memory_size_mb: 128,
        max_memory_used_mb: 36,
        status,
        trace: None,
    }
    .line()
}

#[test]
fn every_failure_has_the_document_that_lambda_sends() {
    let seconds = |n| Outcome::Timeout { timeout: Duration::from_secs(n) };
    let launch = Outcome::LaunchError {
        error_type: "Runtime.InvalidEntrypoint".to_owned(),
        message: "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned(),
    };
    let table = [
        (seconds(3), "Sandbox.Timedout", "Task timed out after 3.00 seconds"),
        (seconds(900), "Sandbox.Timedout", "Task timed out after 900.00 seconds"),
        (Outcome::Exit { status: 0 }, "Runtime.ExitError", "Runtime exited without providing a reason"),
        (Outcome::Exit { status: 3 }, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        (Outcome::Signal { signal: 9 }, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
        (
            Outcome::Signal { signal: 11 },
            "Runtime.ExitError",
            "Runtime exited with error: signal: segmentation fault",
        ),
        (Outcome::Signal { signal: 34 }, "Runtime.ExitError", "Runtime exited with error: signal: signal 34"),
        (Outcome::OutOfMemory, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"),
        (
            launch,
            "Runtime.InvalidEntrypoint",
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        ),
    ];
    for (outcome, error_type, message) in table {
        let expected = format!(
            r#"{{"errorType":"{error_type}","errorMessage":"RequestId: {ID_TEXT} Error: {message}"}}"#
        );
        assert_eq!(outcome.document(ID), Some(expected));
        assert_eq!(outcome.function_error(), Some("Unhandled"));
    }
}

#[test]
fn the_document_of_a_large_answer_names_no_request() {
    let expected = r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#;
    assert_eq!(Outcome::ResponseTooLarge.document(ID).as_deref(), Some(expected));
}

#[test]
fn what_the_function_wrote_itself_gets_no_document_of_ours() {
    let error_type = || "Runtime.Unknown".to_owned();
    assert_eq!(Outcome::FunctionError { error_type: error_type() }.document(ID), None);
    assert_eq!(Outcome::InitError { error_type: error_type() }.document(ID), None);
    assert_eq!(Outcome::Success { response_bytes: 2 }.document(ID), None);
    assert_eq!(Outcome::Success { response_bytes: 2 }.function_error(), None);
}

#[test]
fn memory_is_blamed_only_for_the_kernels_own_kill() {
    assert_eq!(Outcome::from_exit(Err(9), true), Outcome::OutOfMemory);
    assert_eq!(Outcome::from_exit(Err(9), false), Outcome::Signal { signal: 9 });
    assert_eq!(Outcome::from_exit(Err(11), true), Outcome::Signal { signal: 11 });
    assert_eq!(Outcome::from_exit(Ok(1), true), Outcome::Exit { status: 1 });
}

#[test]
fn log_lines_are_lambdas_to_the_byte() {
    assert_eq!(start_line(ID, "$LATEST"), format!("START RequestId: {ID_TEXT} Version: $LATEST\n"));
    assert_eq!(end_line(ID), format!("END RequestId: {ID_TEXT}\n"));
    assert_eq!(
        init_start_line("python:3.13.v58", "arn:aws:lambda:us-east-1::runtime:00ff"),
        "INIT_START Runtime Version: python:3.13.v58\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:00ff\n"
    );
}

#[test]
fn a_report_line_is_lambdas_to_the_byte() {
    let head = format!("REPORT RequestId: {ID_TEXT}\t");
    let oom = Outcome::OutOfMemory;
    let exit = Outcome::Exit { status: 1 };
    let own = Outcome::FunctionError { error_type: "Runtime.Unknown".to_owned() };
    let init = Outcome::InitError { error_type: "Runtime.ImportModuleError".to_owned() };
    let table = [
        (
            report(3_010, None, Status::Success),
            "Duration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n",
        ),
        (
            report(3_010, Some(110_100), Status::Success),
            "Duration: 3.01 ms\tBilled Duration: 114 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n",
        ),
        (
            report(3_000_000, None, Status::Timeout),
            "Duration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: timeout\n",
        ),
        (
            report(10_935_700, None, oom.status()),
            "Duration: 10935.70 ms\tBilled Duration: 10936 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n",
        ),
        (
            report(1, Some(2_370), exit.status()),
            "Duration: 0.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 2.37 ms\tStatus: error\tError Type: Runtime.ExitError\n",
        ),
        (
            report(1_000, None, own.status()),
            "Duration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n",
        ),
        (
            report(98_710, None, init.status()),
            "Duration: 98.71 ms\tBilled Duration: 99 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: error\tError Type: Runtime.ImportModuleError\n",
        ),
    ];
    for (line, tail) in table {
        assert_eq!(line, format!("{head}{tail}"));
    }
}

#[test]
fn a_traced_report_has_a_line_for_its_trace() {
    let trace = Some(Trace { trace_id: "1-6ac7-15", segment_id: "9d5c", sampled: true });
    let line = Report {
        request_id: ID,
        duration: Duration::from_millis(1),
        init_duration: None,
        init_billed: true,
        memory_size_mb: 128,
        max_memory_used_mb: 36,
        status: Status::Success,
        trace,
    }
    .line();
    assert!(line.ends_with("36 MB\t\nXRAY TraceId: 1-6ac7-15\tSegmentId: 9d5c\tSampled: true\t\n"), "{line}");
}

#[test]
fn initialisation_of_a_kept_environment_is_told_and_not_billed_with_the_invocation() {
    let report = Report {
        request_id: ID,
        duration: Duration::from_millis(2),
        init_duration: Some(Duration::from_millis(500)),
        init_billed: false,
        memory_size_mb: 128,
        max_memory_used_mb: 36,
        status: Status::Success,
        trace: None,
    };
    assert_eq!(report.billed_ms(), 2);
    assert!(report.line().contains("\tInit Duration: 500.00 ms\t"));
    assert_eq!(Report { init_billed: true, ..report }.billed_ms(), 502);
}

#[test]
fn an_init_report_is_lambdas_to_the_byte() {
    let ms = Duration::from_micros;
    let error = Status::Error { error_type: Some("Runtime.ExitError") };
    assert_eq!(
        init_report_line(ms(10_007_100), InitPhase::Init, Status::Timeout),
        "INIT_REPORT Init Duration: 10007.10 ms\tPhase: init\tStatus: timeout\t\n"
    );
    assert_eq!(
        init_report_line(ms(206_720), InitPhase::Invoke, error),
        "INIT_REPORT Init Duration: 206.72 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\n"
    );
}

#[test]
fn foreign_text_cannot_forge_a_field_or_a_line() {
    let outcome = Outcome::InitError { error_type: "A\tStatus: timeout\nREPORT".to_owned() };
    let line = report(1_000, None, outcome.status());
    assert!(line.ends_with("\tStatus: error\tError Type: A Status: timeout REPORT\n"), "{line}");
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(start_line(ID, "1\nEND").matches('\n').count(), 1);
}

#[test]
fn durations_are_rounded_to_hundredths_and_bills_up_from_what_is_printed() {
    let table = [
        (0, "0.00", 1),
        (4_999, "0.00", 1),
        (5_000, "0.01", 1),
        (1_000_000, "1.00", 1),
        (1_004_999, "1.00", 1),
        (1_005_000, "1.01", 2),
        (999_995_000, "1000.00", 1_000),
        (900_000_000_000, "900000.00", 900_000),
    ];
    for (nanos, printed, billed) in table {
        let duration = Duration::from_nanos(nanos);
        assert_eq!(
            (milliseconds(duration).as_str(), billed_ms(duration, None)),
            (printed, billed),
            "{nanos}"
        );
    }
    assert_eq!(billed_ms(Duration::from_secs(900), Some(Duration::from_micros(514_300))), 900_515);
    assert_eq!(billed_ms(Duration::MAX, Some(Duration::MAX)), u64::MAX);
}

proptest! {
    #[test]
    fn the_bill_is_the_sum_of_the_printed_figures_rounded_up(nanos in 0..2_000_000_000_000u64, init in proptest::option::of(0..20_000_000_000u64)) {
        let duration = Duration::from_nanos(nanos);
        let init = init.map(Duration::from_nanos);
        let printed = |d: Duration| milliseconds(d).replace('.', "").parse::<u64>().unwrap();
        let hundredths = printed(duration) + init.map_or(0, printed);
        prop_assert_eq!(billed_ms(duration, init), hundredths.div_ceil(100).max(1));
        prop_assert!(printed(duration).abs_diff(nanos / 10_000) <= 1);
    }

    #[test]
    fn a_document_is_json_whatever_the_texts(error_type: String, message: String) {
        let outcome = Outcome::LaunchError { error_type: error_type.clone(), message: message.clone() };
        let document: serde_json::Value = serde_json::from_str(&outcome.document(ID).unwrap()).unwrap();
        prop_assert_eq!(&document["errorType"], &error_type);
        prop_assert_eq!(&document["errorMessage"], &format!("RequestId: {ID_TEXT} Error: {message}"));
    }
}
