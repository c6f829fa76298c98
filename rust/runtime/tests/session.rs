//! A session's plans: kept by shape, bounded in number; and what does not fit is an error.

use std::sync::Arc;

use octavo_runtime::program::{Attributes, DType, Dim, Node, Op, Program, Value, ValueId};
use octavo_runtime::{Error, Options, Session, cast};

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
    assert!(plan_of(&[3, 8, 8]).unwrap().contains("it has 4 dimensions"));
    assert!(session.plan::<[usize; 4]>(&[]).is_err());
    assert!(session.plan(&[[1, 3, 8, 8], [1, 3, 8, 8]]).is_err());
    assert!(plan_of(&[usize::MAX, 3, usize::MAX, 8]).is_some());
    for options in [
        Options { threads: Some(0), isa: None },
        Options { threads: Some(1025), isa: None },
        Options { threads: None, isa: Some("mmx".into()) },
    ] {
        assert!(matches!(Session::new(NETWORK, &options), Err(Error::Run(_))));
    }
}

/// `sum` of two tensors whose first dimension has one name.
fn two_inputs() -> Program {
    let value = |name: &str, dims: &[Dim]| Value {
        name: name.to_owned(),
        dtype: DType::F32,
        shape: (!dims.is_empty()).then(|| dims.to_vec()),
        quant: None,
        constant: None,
    };
    let n = || Dim::Symbol("N".to_owned());
    let inputs = vec![Some(ValueId(0)), Some(ValueId(1))];
    let attributes = Attributes::new(Op::Add, "add", []);
    Program {
        inputs: vec![ValueId(0), ValueId(1)],
        outputs: vec![ValueId(2)],
        values: vec![value("a", &[n(), Dim::Fixed(3)]), value("b", &[n(), n()]), value("sum", &[])],
        nodes: vec![Node {
            op: Op::Add,
            name: "add".to_owned(),
            inputs,
            outputs: vec![Some(ValueId(2))],
            attributes,
        }],
        opset: 25,
        producer: "test".to_owned(),
    }
}

#[test]
fn one_name_is_one_number_in_all_inputs() {
    let session = Session::from_program(two_inputs(), &Options { threads: Some(1), isa: None }).unwrap();
    assert_eq!(session.plan(&[[3, 3], [3, 3]]).unwrap().outputs()[0].shape, [3, 3]);
    let wrong = |shapes: [[usize; 2]; 2]| session.plan(&shapes).err().map(|error| error.to_string()).unwrap();
    assert!(wrong([[2, 3], [3, 3]]).contains("dimension 0 ('N') must be 2, as in 'a'"));
    assert!(wrong([[3, 3], [3, 2]]).contains("dimension 1 ('N') must be 3, as in 'a'"));
    assert!(wrong([[3, 2], [3, 3]]).contains("dimension 1 must be 3"));
    assert!(session.plan(&[[3, 3]]).is_err() && session.plan(&[[3, 3]; 3]).is_err());
}
