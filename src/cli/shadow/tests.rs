use super::job::Job;

/// The job of the given variables.
fn job(jobs: Option<usize>, set: &[(&str, &str)]) -> Result<Job, String> {
    let variable = |name: &str| {
        set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_string())
    };
    Job::of(None, jobs, &variable).map_err(|fault| fault.to_string())
}

fn is(index: usize, count: usize) -> Result<Job, String> {
    Ok(Job { index, count })
}

#[test]
fn each_batch_system_names_the_job() {
    assert_eq!(job(None, &[]), is(0, 1));
    let slurm = |id, min| {
        let count = ("SLURM_ARRAY_TASK_COUNT", "8");
        job(None, &[("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_MIN", min), count])
    };
    assert_eq!(slurm("3", "0"), is(3, 8));
    assert_eq!(slurm("8", "1"), is(7, 8));
    let stepped = [
        ("SLURM_ARRAY_TASK_ID", "14"),
        ("SLURM_ARRAY_TASK_MIN", "10"),
        ("SLURM_ARRAY_TASK_STEP", "2"),
        ("SLURM_ARRAY_TASK_COUNT", "4"),
    ];
    assert_eq!(job(None, &stepped), is(2, 4));
    let kubernetes = ("JOB_COMPLETION_INDEX", "5");
    assert_eq!(job(None, &[kubernetes, ("JOB_COMPLETIONS", "6")]), is(5, 6));
    assert_eq!(job(Some(8), &[kubernetes]), is(5, 8));
    let engine = [("SGE_TASK_ID", "9"), ("SGE_TASK_FIRST", "1"), ("SGE_TASK_LAST", "16")];
    assert_eq!(job(None, &engine), is(8, 16));
    assert_eq!(job(None, &[("SGE_TASK_ID", "undefined")]), is(0, 1));
    // Wherever the indices begin, eight in a row are eight jobs.
    for first in [0, 1, 5] {
        let mut all: Vec<usize> = (first..first + 8)
            .map(|id: usize| job(Some(8), &[("PARALLEL_SEQ", &id.to_string())]).unwrap().index)
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }
    assert_eq!(job(Some(4), &[("PBS_ARRAY_INDEX", "4")]), is(0, 4));
}

#[test]
fn what_names_no_job_is_refused_with_what_to_do() {
    for (jobs, set, phrase) in [
        (None, &[("PARALLEL_SEQ", "3")][..], "give --jobs N"),
        (None, &[("JOB_COMPLETION_INDEX", "x")][..], "`x`, no number"),
        (Some(8), &[][..], "give --job I/N"),
        (Some(0), &[("PARALLEL_SEQ", "3")][..], "--jobs is 0"),
        (Some(8), &[("PARALLEL_SEQ", "3"), ("PBS_ARRAY_INDEX", "1")][..], "are all set"),
        (
            None,
            &[
                ("SLURM_ARRAY_TASK_ID", "9"),
                ("SLURM_ARRAY_TASK_MIN", "1"),
                ("SLURM_ARRAY_TASK_COUNT", "3"),
            ][..],
            "no plain range",
        ),
    ] {
        let error = job(jobs, set).unwrap_err();
        assert!(error.contains(phrase), "{error}");
    }
}

#[test]
fn a_job_is_read_from_words() {
    assert_eq!(Job::parse("3/8"), Ok(Job { index: 2, count: 8 }));
    for wrong in ["0/8", "9/8", "3", "/8", "3/", "a/b", "-1/2", "0/0"] {
        assert!(Job::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn each_model_is_of_one_job() {
    for count in [1, 3, 8] {
        for model in 0..20 {
            let owners = (0..count).filter(|&index| Job { index, count }.owns(model)).count();
            assert_eq!(owners, 1);
        }
    }
}

#[test]
fn the_ready_files_are_what_is_expected() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/experiments");
    for name in ["shadow-made.toml", "shadow-fashion-mnist.toml"] {
        let settings = super::settings::read(&folder.join(name)).unwrap();
        assert!(settings.methods.contains_key("l1-sparse"), "{name}");
    }
}
