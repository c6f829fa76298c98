//! A session's plans: kept by shape, bounded in number; and what does not fit is an error.

use std::sync::Arc;

use octavo_runtime::observe::{Reading, Statistics};
use octavo_runtime::program::{Attribute, Attributes, DType, Dim, Node, OPSET, Op, Program, Value, ValueId};
use octavo_runtime::{Arena, Error, ErrorKind, Options, Session, bytes_of, bytes_of_mut, cast};

const NETWORK: &[u8] = include_bytes!("data/small_network.octavo");

fn session(threads: usize) -> Session {
    Session::new(NETWORK, &Options { threads: Some(threads), isa: None }).unwrap()
}

fn image(width: usize) -> [[usize; 4]; 1] {
    [[1, 3, 8, width]]
}

#[test]
fn plans_are_kept_by_shape() {
    let session = session(1);
    assert!(session.kept_plan(&image(8)).is_none());
    let plan = session.plan(&image(8)).unwrap();
    let other = session.plan(&image(9)).unwrap();
    assert!(!Arc::ptr_eq(&plan, &other));
    assert!(Arc::ptr_eq(&plan, &session.plan(&image(8)).unwrap()));
    assert!(Arc::ptr_eq(&plan, &session.kept_plan(&image(8)).unwrap()));
    assert_eq!(plan.outputs()[1].shape, [1, 16, 8, 8]);
    assert_eq!(other.outputs()[1].shape, [1, 16, 8, 9]);
}

/// A plan that shows all its values fuses none of them away, so it is not the one that runs, whichever is asked for first.
#[test]
fn plans_that_are_observed_are_kept_apart() {
    for is_observed_first in [false, true] {
        let session = session(1);
        if is_observed_first {
            session.observed_plan(&image(8)).unwrap();
            assert!(session.kept_plan(&image(8)).is_none());
        }
        let plan = session.plan(&image(8)).unwrap();
        let observed = session.observed_plan(&image(8)).unwrap();
        assert_eq!((plan.is_observed(), observed.is_observed()), (false, true));
        assert!(plan.steps().len() < observed.steps().len(), "nothing is fused");
        assert!(Arc::ptr_eq(&plan, &session.plan(&image(8)).unwrap()));
        assert!(Arc::ptr_eq(&plan, &session.kept_plan(&image(8)).unwrap()));
        assert!(Arc::ptr_eq(&observed, &session.observed_plan(&image(8)).unwrap()));
    }
}

#[test]
fn the_plan_used_longest_ago_makes_room() {
    let session = session(1);
    let first = Arc::downgrade(&session.plan(&image(1)).unwrap());
    let second = Arc::downgrade(&session.plan(&image(2)).unwrap());
    for width in 3..100 {
        session.plan(&image(width)).unwrap();
        session.plan(&image(1)).unwrap(); // always the latest but one
    }
    assert!(first.upgrade().is_some());
    assert!(second.upgrade().is_none(), "a plan that is not kept still has its memory");
    let kept = (1..100).filter(|&width| session.kept_plan(&image(width)).is_some()).count();
    assert_eq!(kept, 16);
}

#[test]
fn threads_that_ask_for_one_plan_keep_one() {
    for _ in 0..20 {
        let session = session(1);
        let first = session.plan(&image(1)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| session.plan(&image(8)).unwrap());
            }
        });
        // Twenty of a kind would have driven the first out.
        assert!(session.kept_plan(&image(1)).is_some_and(|kept| Arc::ptr_eq(&kept, &first)));
    }
}

#[test]
fn a_plan_that_made_room_still_runs() {
    let session = session(2);
    let plan = session.plan(&image(8)).unwrap();
    let input = vec![0; 4 * 3 * 8 * 8];
    let run = || {
        let mut scores = octavo_runtime::Arena::new(plan.outputs()[0].bytes()).unwrap();
        let mut codes = vec![0; plan.outputs()[1].bytes()];
        session.run(&plan, &[&input], &mut [scores.bytes_mut(), &mut codes]).unwrap();
        (cast::<f32>(scores.bytes()).to_vec(), codes)
    };
    let before = run();
    for width in 9..40 {
        session.plan(&image(width)).unwrap();
    }
    assert!(session.kept_plan(&image(8)).is_none());
    assert_eq!(run(), before);
}

#[test]
fn shapes_and_settings_that_do_not_fit() {
    let session = session(1);
    let plan_of = |shape: &[usize]| session.plan(&[shape]).err().map(|error| error.to_string());
    let wrong = plan_of(&[1, 4, 8, 8]).unwrap();
    assert_eq!(wrong, "input 'x' of shape [1, 4, 8, 8] does not fit [N, 3, H, W]: dimension 1 must be 3");
    for shape in [&[3, 8, 8][..], &[1, 3, 8, 8, 1], &[1, 3, 8, 8, 8], &[], &[1, 1, 3, 8, 8]] {
        assert!(plan_of(shape).unwrap().contains("it has 4 dimensions"), "{shape:?}");
    }
    assert!(session.plan::<[usize; 4]>(&[]).is_err());
    assert!(session.plan(&[[1, 3, 8, 8], [1, 3, 8, 8]]).is_err());
    assert!(plan_of(&[usize::MAX, 3, usize::MAX, 8]).is_some());
    for options in [
        Options { threads: Some(0), isa: None },
        Options { threads: Some(1025), isa: None },
        Options { threads: None, isa: Some("mmx".into()) },
    ] {
        assert!(matches!(Session::new(NETWORK, &options), Err(error) if error.kind() == ErrorKind::Run));
    }
}

/// A Program of one node, whose inputs are the Program's.
fn one_node(
    op: Op,
    attributes: &[(&str, Attribute)],
    inputs: &[(&str, DType, Option<Vec<Dim>>)],
    made: DType,
) -> Program {
    let value =
        |name: &str, dtype, shape| Value { name: name.into(), dtype, shape, quant: None, constant: None };
    let mut values: Vec<Value> =
        inputs.iter().map(|(name, dtype, shape)| value(name, *dtype, shape.clone())).collect();
    let fed: Vec<ValueId> = (0..inputs.len()).map(|id| ValueId(id as u32)).collect();
    let output = ValueId(values.len() as u32);
    values.push(value("y", made, None));
    let given = attributes.iter().map(|(name, attribute)| ((*name).to_owned(), attribute.clone()));
    let node = Node {
        op,
        name: "the node".into(),
        inputs: fed.iter().copied().map(Some).collect(),
        outputs: vec![Some(output)],
        attributes: Attributes::new(op, "the node", given),
        bodies: Vec::new(),
    };
    Program {
        inputs: fed,
        outputs: vec![output],
        values,
        nodes: vec![node],
        opset: OPSET,
        producer: String::new(),
    }
}

fn session_of(program: Program) -> Session {
    Session::from_program(program, &Options { threads: Some(1), isa: None }).unwrap()
}

/// Settings that are not given come from the environment: of a process of its own, which runs this test again.
#[test]
fn settings_that_come_from_the_environment() {
    const EXPECTED: &str = "EXPECTED_OF_A_SESSION";
    if let Ok(expected) = std::env::var(EXPECTED) {
        let told = |options: Options| match Session::new(NETWORK, &options) {
            Ok(session) => format!("{} threads on {}", session.threads(), session.isa()),
            Err(error) => error.to_string(),
        };
        let made = told(Options::default());
        assert!(made.contains(&expected), "{made}, not {expected}");
        // What is given is taken, whatever stands there.
        let given = Options { threads: Some(5), isa: Some("scalar".into()) };
        assert_eq!(told(given), "5 threads on scalar");
        return;
    }
    let best = octavo_kernels::table::Kernels::best().isa();
    let default = format!("{} threads on {best}", octavo_exec::default_threads().min(1024));
    let (refused, unknown) =
        ("it must be a number from 1 to 1024", "an instruction set that is not available on this CPU");
    for (name, value, expected) in [
        ("OCTAVO_THREADS", "3", "3 threads on"),
        ("OCTAVO_THREADS", " 3\t", "3 threads on"),
        ("OCTAVO_THREADS", "1", "1 threads on"),
        ("OCTAVO_THREADS", "1024", "1024 threads on"),
        ("OCTAVO_THREADS", "", &default),
        ("OCTAVO_THREADS", "0", refused),
        ("OCTAVO_THREADS", "1025", refused),
        ("OCTAVO_THREADS", "-1", refused),
        ("OCTAVO_THREADS", "2.0", refused),
        ("OCTAVO_THREADS", "two", "OCTAVO_THREADS is 'two'"),
        ("OCTAVO_THREADS", " ", refused),
        ("OCTAVO_ISA", "scalar", "threads on scalar"),
        ("OCTAVO_ISA", "", &default),
        ("OCTAVO_ISA", "Scalar", "OCTAVO_ISA is 'Scalar'"),
        ("OCTAVO_ISA", "scalar ", unknown),
        ("OCTAVO_ISA", "avx", unknown),
    ] {
        let mut again = this_program();
        again.env_remove("OCTAVO_THREADS").env_remove("OCTAVO_ISA").env(EXPECTED, expected).env(name, value);
        let output = again.args(["--exact", "settings_that_come_from_the_environment"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{name} of {value:?}: {text}");
    }
}

/// This program once more: on ARM, where it may run under emulation, by cargo's runner if there is one.
fn this_program() -> std::process::Command {
    let program = std::env::current_exe().unwrap();
    match std::env::var_os("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER") {
        Some(runner) if cfg!(target_arch = "aarch64") => {
            let mut command = std::process::Command::new(runner);
            command.arg(program);
            command
        }
        _ => std::process::Command::new(program),
    }
}

/// The text of an error of a run; anything else, a panic above all, fails the test.
fn refused(result: Result<(), Error>) -> String {
    match result {
        Err(error) if error.kind() == ErrorKind::Run => error.text().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Counts and extremes of the values of these names.
fn extremes(names: &[&str]) -> Statistics {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Statistics::new(names, &["counts", "extremes"]).unwrap()
}

#[test]
fn tensors_that_are_not_those_of_the_plan() {
    let session = session(1);
    let plan = session.plan(&image(8)).unwrap();
    let (x, longer) = (vec![0f32; 192], vec![0f32; 193]);
    let (mut scores, mut codes) = (vec![0f32; 10], vec![7u8; 16 * 64]);
    let x = bytes_of(&x);
    let run = |inputs: &[&[u8]], outputs: &mut [&mut [u8]]| refused(session.run(&plan, inputs, outputs));

    let count = "0 inputs are given, the plan has 1 [\"x\"]: give the bytes of each, in this order";
    assert_eq!(run(&[], &mut [bytes_of_mut(&mut scores), &mut codes]), count);
    let two = run(&[x, x], &mut [bytes_of_mut(&mut scores), &mut codes]);
    assert!(two.starts_with("2 inputs are given, the plan has 1"), "{two}");
    for wrong in [&x[..764], &x[..767], &x[..0], bytes_of(&longer)] {
        let text = run(&[wrong], &mut [bytes_of_mut(&mut scores), &mut codes]);
        let (is, needed) = (wrong.len(), "f32 of shape [1, 3, 8, 8] has 768");
        assert!(text.starts_with(&format!("input \"x\" has {is} bytes, but {needed}")), "{text}");
    }
    // One byte or two further on, no f32 can lie there.
    for shift in [1, 2, 3] {
        let text = run(&[&bytes_of(&longer)[shift..][..768]], &mut [bytes_of_mut(&mut scores), &mut codes]);
        assert!(text.starts_with("input \"x\" lies at an address that is not a multiple of 4"), "{text}");
    }
    let named = "the plan has 2 [\"scores\", \"codes\"]";
    assert!(run(&[x], &mut []).starts_with(&format!("0 outputs are given, {named}")));
    assert!(
        run(&[x], &mut [bytes_of_mut(&mut scores)]).starts_with(&format!("1 outputs are given, {named}"))
    );
    let three = run(&[x], &mut [bytes_of_mut(&mut scores), &mut codes, &mut []]);
    assert!(three.starts_with(&format!("3 outputs are given, {named}")));
    let text = run(&[x], &mut [bytes_of_mut(&mut scores), &mut codes[1..]]);
    assert!(
        text.starts_with("output \"codes\" has 1023 bytes, but u8 of shape [1, 16, 8, 8] has 1024"),
        "{text}"
    );
    let mut ten_and_one = vec![0f32; 11];
    let text = run(&[x], &mut [bytes_of_mut(&mut ten_and_one), &mut codes]);
    assert!(text.starts_with("output \"scores\" has 44 bytes"), "{text}");
    let text = run(&[x], &mut [&mut bytes_of_mut(&mut ten_and_one)[2..42], &mut codes]);
    assert!(text.starts_with("output \"scores\" lies at an address"), "{text}");
    assert!(codes.iter().all(|&code| code == 7), "an output was written before all was checked");

    session.run(&plan, &[x], &mut [bytes_of_mut(&mut scores), &mut codes]).unwrap();
    assert!(codes.iter().any(|&code| code != 7));
    let other = session.plan(&image(9)).unwrap();
    assert!(
        refused(session.run(&other, &[x], &mut [bytes_of_mut(&mut scores), &mut codes]))
            .contains("[1, 3, 8, 9]")
    );
}

#[test]
fn every_way_to_run_checks_its_inputs() {
    let session = session(1);
    let plan = session.plan(&image(8)).unwrap();
    let observed = session.observed_plan(&image(8)).unwrap();
    let numbers = vec![0f32; 193];
    for wrong in [&[][..], &[&bytes_of(&numbers)[..767]], &[&bytes_of(&numbers)[1..769]], &[&[], &[]]] {
        assert!(refused(session.run_stages(&plan, wrong).map(drop)).contains("input"));
        assert!(refused(session.profile(&plan, wrong).map(drop)).contains("input"));
        assert!(refused(session.observe(&observed, wrong, &extremes(&["x"])).map(drop)).contains("input"));
    }
    assert!(session.observe(&observed, &[&bytes_of(&numbers)[..768]], &extremes(&["x"])).is_ok());
}

#[test]
fn a_plan_of_another_session() {
    let (ours, theirs) = (session(1), session(1));
    let plan = theirs.plan(&image(8)).unwrap();
    let x = vec![0f32; 192];
    let (mut scores, mut codes) = (vec![0f32; 10], vec![0u8; 16 * 64]);
    let text = refused(ours.run(&plan, &[bytes_of(&x)], &mut [bytes_of_mut(&mut scores), &mut codes]));
    assert!(text.starts_with("the plan is of another session"), "{text}");
    assert!(refused(ours.run_stages(&plan, &[bytes_of(&x)]).map(drop)).contains("another session"));
    assert!(refused(ours.profile(&plan, &[bytes_of(&x)]).map(drop)).contains("another session"));
    assert!(
        refused(ours.observe(&plan, &[bytes_of(&x)], &extremes(&["x"])).map(drop))
            .contains("another session")
    );
    theirs.run(&plan, &[bytes_of(&x)], &mut [bytes_of_mut(&mut scores), &mut codes]).unwrap();
}

#[test]
fn a_plan_that_ends_early() {
    let attributes = [("allowzero", Attribute::Int(0))];
    let inputs = [("x", DType::F32, None), ("shape", DType::I64, None)];
    let session = session_of(one_node(Op::Reshape, &attributes, &inputs, DType::F32));
    let plan = session.plan(&[&[6][..], &[2]]).unwrap();
    assert!(plan.ends_early());
    let (x, shape) = ([0f32, 1., 2., 3., 4., 5.], [3i64, -1]);
    let mut y = [0f32; 6];
    let text = refused(session.run(&plan, &[bytes_of(&x), bytes_of(&shape)], &mut [bytes_of_mut(&mut y)]));
    assert!(text.contains("'shape'") && text.contains("in stages"), "{text}");

    let run = |x: &[u8], shape: &[u8]| session.run_stages(&plan, &[x, shape]);
    let made = run(bytes_of(&x), bytes_of(&shape)).unwrap();
    assert_eq!(made[0].0.shape, [3, 2]);
    assert_eq!(cast::<f32>(made[0].1.bytes()), x);
    assert!(refused(run(bytes_of(&x), &bytes_of(&shape)[..8]).map(drop)).contains("\"shape\" has 8 bytes"));
    assert!(refused(run(&[], bytes_of(&shape)).map(drop)).contains("\"x\" has 0 bytes"));
    let crooked = Arena::from_bytes(&[&[0; 4], bytes_of(&shape)].concat()).unwrap();
    assert!(refused(run(bytes_of(&x), &crooked.bytes()[4..]).map(drop)).contains("not a multiple of 8"));
    for bad in [[i64::MIN, i64::MAX], [-1, -1], [7, 1], [0, 0], [i64::MAX, i64::MAX]] {
        assert!(refused(run(bytes_of(&x), bytes_of(&bad)).map(drop)).contains("the node"));
    }
    // Each float value is seen once, whatever stages read it.
    let observed = session.observed_plan(&[&[6][..], &[2]]).unwrap();
    let seen = session.observe(&observed, &[bytes_of(&x), bytes_of(&shape)], &extremes(&["x", "y"])).unwrap();
    for name in ["x", "y"] {
        assert_eq!(seen.read(name, "counts").unwrap()[0], ("elements", Reading::Count(6)));
        let ends = [("minimum", Reading::Real(0.0)), ("maximum", Reading::Real(5.0))];
        assert_eq!(seen.read(name, "extremes").unwrap(), ends);
    }
}

#[test]
fn tensors_of_no_elements_may_lie_anywhere() {
    for dtype in DType::WHOLE {
        let session = session_of(one_node(Op::Identity, &[], &[("x", dtype, None)], dtype));
        let plan = session.plan(&[[0, 3]]).unwrap();
        session.run(&plan, &[&[]], &mut [&mut []]).unwrap();
        let bytes = Arena::new(16).unwrap();
        session.run(&plan, &[&bytes.bytes()[1..1]], &mut [&mut []]).unwrap();
        assert!(refused(session.run(&plan, &[&bytes.bytes()[..8]], &mut [&mut []])).contains("has 8 bytes"));
    }
    let network = session(2);
    let plan = network.plan(&[[0, 3, 8, 8]]).unwrap();
    network.run(&plan, &[&[]], &mut [&mut [], &mut []]).unwrap();
    network.profile(&plan, &[&[]]).unwrap();
}

#[test]
fn any_bytes_are_numbers() {
    let network = session(1);
    let plan = network.plan(&image(8)).unwrap();
    for bits in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::from_bits(u32::MAX)] {
        let (mut scores, mut codes) = (vec![0f32; 10], vec![0u8; 16 * 64]);
        let x = vec![bits; 192];
        network.run(&plan, &[bytes_of(&x)], &mut [bytes_of_mut(&mut scores), &mut codes]).unwrap();
    }
    // Bytes that are neither 0 nor 1 where booleans are meant.
    for (op, made) in [(Op::NonZero, DType::I64), (Op::Not, DType::Bool), (Op::Identity, DType::Bool)] {
        let session = session_of(one_node(op, &[], &[("x", DType::Bool, None)], made));
        let plan = session.plan(&[[4]]).unwrap();
        session.run_stages(&plan, &[&[0, 1, 2, 255]]).unwrap();
    }
}

#[test]
fn programs_are_validated_by_whatever_makes_a_session() {
    let program = || one_node(Op::Relu, &[], &[("x", DType::F32, None)], DType::F32);
    let mut cases = vec![program(); 5];
    cases[0].inputs = vec![ValueId(9)];
    cases[1].outputs = vec![ValueId(u32::MAX)];
    cases[2].nodes[0].inputs = vec![];
    cases[3].nodes[0].outputs = vec![Some(ValueId(7))];
    cases[4].values[0].shape = Some(vec![Dim::Fixed(1); 33]);
    for wrong in cases {
        assert!(
            matches!(Session::from_program(wrong, &Options::default()), Err(error) if error.kind() == ErrorKind::Artifact)
        );
    }
}

#[test]
fn shapes_of_any_rank_and_size() {
    let session = session_of(one_node(Op::Relu, &[], &[("x", DType::F32, None)], DType::F32));
    let long = [1; 100];
    let huge = [usize::MAX, 0, usize::MAX];
    for shape in [&long[..], &huge, &[1 << 62], &[1 << 31, 1 << 31], &[usize::MAX]] {
        assert!(matches!(session.plan(&[shape]), Err(error) if error.kind() == ErrorKind::Run), "{shape:?}");
    }
    assert!(session.plan(&[[0; 32]]).is_ok() && session.plan::<[usize; 0]>(&[[]]).is_ok());
}

#[test]
fn a_global_pool_without_channels_is_an_error_of_its_node() {
    let p = [("p", Attribute::Int(2))];
    for (op, attributes) in
        [(Op::GlobalLpPool, &p[..]), (Op::GlobalMaxPool, &[]), (Op::GlobalAveragePool, &[])]
    {
        let session = session_of(one_node(op, attributes, &[("x", DType::F32, None)], DType::F32));
        for shape in [&[][..], &[0], &[1], &[5]] {
            let text = refused(session.plan(&[shape]).map(drop));
            assert!(text.contains("\"the node\"") && text.contains("has no channels"), "{text}");
        }
        assert!(session.plan(&[[2, 3]]).is_ok());
    }
}

#[test]
fn names_of_a_million_characters_are_shown_shortened() {
    let mut program = one_node(Op::Identity, &[], &[("x", DType::F32, None)], DType::F32);
    program.values[0].name = "a\n".repeat(500_000);
    let session = session_of(program);
    let plan = session.plan(&[[2]]).unwrap();
    let error = session.run(&plan, &[&[]], &mut [&mut []]).unwrap_err().to_string();
    assert!(error.starts_with("input \"a\\na\\n") && error.contains("has 0 bytes"), "{error}");
    assert!(error.len() < 500 && !error.contains('\n'), "{error}");
}

#[test]
fn one_name_is_one_number_in_all_inputs() {
    let n = || Dim::Symbol("N".to_owned());
    let (a, b) = (vec![n(), Dim::Fixed(3)], vec![n(), n()]);
    let inputs = [("a", DType::F32, Some(a)), ("b", DType::F32, Some(b))];
    let session = session_of(one_node(Op::Add, &[], &inputs, DType::F32));
    assert_eq!(session.plan(&[[3, 3], [3, 3]]).unwrap().outputs()[0].shape, [3, 3]);
    let wrong = |shapes: [[usize; 2]; 2]| session.plan(&shapes).err().map(|error| error.to_string()).unwrap();
    assert!(wrong([[2, 3], [3, 3]]).contains("dimension 0 ('N') must be 2, as in 'a'"));
    assert!(wrong([[3, 3], [3, 2]]).contains("dimension 1 ('N') must be 3, as in 'a'"));
    assert!(wrong([[3, 2], [3, 3]]).contains("dimension 1 must be 3"));
    assert!(session.plan(&[[3, 3]]).is_err() && session.plan(&[[3, 3]; 3]).is_err());
}
