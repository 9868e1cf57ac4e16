//! The parts of a gateway, made from settings. Files are read; no address is opened and no server asked.

use std::sync::Arc;

use passgate_connectors::{Programs, SettingProblem, Shadows, Source};

use super::policies::{self, Policies};
use super::sign_in_problem;
use passgate_policy::Known;

use crate::auth::{Methods, SignIn};
use crate::catalog::Snapshot;
use crate::config::{Loaded, Problem};
use crate::embedded::ShadowPrograms;
use crate::plan::{self, Rewriter};
use crate::rehearsal::catalog::Document;

/// Characters of the secret that hashes are made with: fewer could be tried out.
const HASH_SECRET_MIN: usize = 32;

/// What the settings lead to.
pub(super) struct Parts {
    pub(super) methods: Methods,
    /// One for each listener, in their order.
    pub(super) sign_in: Vec<Arc<SignIn>>,
    pub(super) sources: Vec<Source>,
    /// Where statements of the catalog run.
    pub(super) shadows: Option<Shadows>,
    pub(super) rewriter: Arc<Rewriter>,
    pub(super) policies: Policies,
}

/// Makes every part and throws it away, for what is wrong, or else for what is unwise.
pub fn check(loaded: &Loaded) -> Result<Vec<Problem>, Vec<Problem>> {
    Parts::make(loaded).map(|parts| parts.policies.warnings)
}

/// Asks every source whether it answers, and holds the policies against what each holds, for `passgate check --connect`.
/// A line for each that does.
pub async fn connect(loaded: &Loaded) -> Result<Vec<String>, Vec<Problem>> {
    let (mut said, mut problems) = (Vec::new(), Vec::new());
    let mut known = Known::new();
    plan::describe_built_in(&mut known);
    for (index, Source { connector, default_schema }) in sources(loaded)?.into_iter().enumerate() {
        let name = connector.name();
        known.add_source(name.clone());
        if let Err(error) = connector.probe().await {
            problems.push(loaded.problem(&["databases", &index.to_string(), "host"], error.to_string(), None));
            continue;
        }
        said.push(format!("databases[{index}] \"{name}\" answers"));
        match connector.crawl(None).await {
            Ok(metadata) => Snapshot::new(name.clone(), default_schema, metadata).describe(&mut known),
            // Where people bring their own tokens there may be no login to read with.
            Err(error) => said.push(format!(
                "databases[{index}] \"{name}\" was not read, so that policies may name what it does not have: {error}"
            )),
        }
    }
    // Nothing is worth saying of the policies that `check` has not said, but what they name in vain.
    let checked = match (sign_in(loaded), rewriter(loaded)) {
        (Ok((methods, _)), Ok(rewriter)) => {
            policies::add_people(&mut known, &methods);
            policies(loaded, &known, &rewriter).map(drop)
        }
        (Err(more), _) | (_, Err(more)) => Err(more),
    };
    keep(checked, &mut problems);
    if problems.is_empty() { Ok(said) } else { Err(problems) }
}

/// What a source holds, as the `catalog.json` that policies are tested with: of the source of this name, or of the only
/// one. It is read with the source's service login.
pub async fn catalog(loaded: &Loaded, name: Option<&str>) -> Result<String, Vec<Problem>> {
    let mut sources = sources(loaded)?;
    let named = |problem: String| vec![loaded.problem(&["databases"], problem, None)];
    let place = match name {
        Some(name) => sources.iter().position(|source| source.connector.name().as_str() == name),
        None => (sources.len() == 1).then_some(0),
    };
    let Some(place) = place else {
        let names: Vec<&str> = sources.iter().map(|source| source.connector.name().as_str()).collect();
        return Err(named(format!("name one of the sources with --source: {}", names.join(", "))));
    };
    let Source { connector, default_schema } = sources.swap_remove(place);
    let metadata = connector.crawl(None).await.map_err(|error| named(error.to_string()))?;
    let document = Document::of(&Snapshot::new(connector.name().clone(), default_schema, metadata));
    let text = serde_json::to_string_pretty(&document).map_err(|error| named(error.to_string()))?;
    Ok(text + "\n")
}

impl Parts {
    pub(super) fn make(loaded: &Loaded) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let sign_in = keep(sign_in(loaded), &mut problems);
        let sources = keep(sources(loaded), &mut problems);
        let shadows = keep(shadows(loaded), &mut problems);
        let rewriter = keep(rewriter(loaded), &mut problems);
        // Nothing is read before somebody asks, so only the sources' names are known here; a reload knows what they hold.
        let mut known = Known::new();
        plan::describe_built_in(&mut known);
        loaded.settings.databases.iter().for_each(|database| known.add_source(database.name.clone()));
        if let Some((methods, _)) = &sign_in {
            policies::add_people(&mut known, methods);
        }
        let policies = rewriter.as_ref().and_then(|rewriter| keep(policies(loaded, &known, rewriter), &mut problems));
        for (index, listener) in loaded.settings.listeners.iter().enumerate() {
            if let Err(error) = listener.check_files(&loaded.folder) {
                problems.push(loaded.problem(&["listeners", &index.to_string(), "tls"], error.to_string(), None));
            }
        }
        match (sign_in, sources, shadows, rewriter, policies) {
            (Some((methods, sign_in)), Some(sources), Some(shadows), Some(rewriter), Some(policies))
                if problems.is_empty() =>
            {
                Ok(Self { methods, sign_in, sources, shadows, rewriter, policies })
            }
            _ => Err(problems),
        }
    }
}

fn keep<T>(result: Result<T, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|more| problems.extend(more)).ok()
}

fn sign_in(loaded: &Loaded) -> Result<(Methods, Vec<Arc<SignIn>>), Vec<Problem>> {
    let settings = &loaded.settings;
    let place =
        |problems: Vec<_>| problems.into_iter().map(|problem| sign_in_problem(loaded, problem)).collect::<Vec<_>>();
    let methods = Methods::new(&settings.limits.sign_in, &settings.sign_in, &loaded.folder).map_err(place)?;
    let of_listeners = settings.listeners.iter().map(|listener| methods.sign_in(&listener.sign_in).map(Arc::new));
    let of_listeners = of_listeners.collect::<Result<_, _>>().map_err(place)?;
    Ok((methods, of_listeners))
}

/// The sources of the settings file. Connects to none of them.
pub(super) fn sources(loaded: &Loaded) -> Result<Vec<Source>, Vec<Problem>> {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for (index, database) in loaded.settings.databases.iter().enumerate() {
        let index = index.to_string();
        match (database.backend.open)(database.name.clone(), &database.settings, &loaded.folder) {
            Ok(source) => sources.push(source),
            Err(found) => problems.extend(found.into_iter().map(|problem| {
                let message = format!("databases[{index}].{}: {}", problem.setting, problem.message);
                loaded.problem(&["databases", &index, &problem.setting], message, problem.suggestion)
            })),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(problems) }
}

fn shadows(loaded: &Loaded) -> Result<Option<Shadows>, Vec<Problem>> {
    let config = &loaded.settings.catalog.shadow;
    let directory = config.directory.as_ref().map(|directory| loaded.folder.join(directory));
    let programs = match config.host {
        None if cfg!(feature = "embedded-postgres") => {
            let programs = ShadowPrograms::new(directory.as_deref(), config.memory_mebibytes_max).map_err(|error| {
                vec![loaded.problem(&["catalog", "shadow", "directory"], format!("catalog.shadow: {error}"), None)]
            })?;
            Some(Arc::new(programs) as Arc<dyn Programs>)
        }
        _ => None,
    };
    let shadows = Shadows::open(config.clone(), programs, &loaded.folder);
    let problem = |problem: SettingProblem| {
        let message = format!("catalog.shadow.{}: {}", problem.setting, problem.message);
        loaded.problem(&["catalog", "shadow", &problem.setting], message, problem.suggestion)
    };
    shadows.map_err(|problems| problems.into_iter().map(problem).collect())
}

fn rewriter(loaded: &Loaded) -> Result<Arc<Rewriter>, Vec<Problem>> {
    let secret = loaded.settings.policies.hash_secret.as_ref();
    if secret.is_some_and(|secret| secret.expose().len() < HASH_SECRET_MIN) {
        let message = format!("policies.hash_secret must have at least {HASH_SECRET_MIN} characters");
        let suggestion = Some("make one with: openssl rand -hex 32".to_owned());
        return Err(vec![loaded.problem(&["policies", "hash_secret"], message, suggestion)]);
    }
    Ok(Arc::new(Rewriter::new(secret)))
}

fn policies(loaded: &Loaded, known: &Known, rewriter: &Rewriter) -> Result<Policies, Vec<Problem>> {
    policies::read(&loaded.folder, &loaded.settings.policies.folder, known, rewriter.sql()).map_err(|problems| {
        // Without a line it is the folder that is wrong, and the settings are where it is named.
        let place = |problem: Problem| match problem.at.line {
            0 => loaded.problem(&["policies", "folder"], problem.message, problem.suggestion),
            _ => problem,
        };
        problems.into_iter().map(place).collect()
    })
}
