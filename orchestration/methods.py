"""The sampler and the scheduler that a sweep file names, as Optuna has them."""

from __future__ import annotations

import random

import optuna

from orchestration.spec import AnySampler, AnyScheduler


def new_sampler(sampler: AnySampler, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """A sampler for one trial.

    What samplers learn from is in the study; only their random state is not. A state that follows from the
    trial's number neither repeats draws after a restart nor depends on how often there was one.
    """
    own_seed = random.Random(f"{seed}-{number}").getrandbits(32)
    independent = optuna.samplers.RandomSampler(own_seed)
    match sampler.type:
        case "tpe":
            return optuna.samplers.TPESampler(
                n_startup_trials=sampler.startup_trials,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=own_seed,
            )
        case "cmaes" | "gp":
            model = optuna.samplers.CmaEsSampler if sampler.type == "cmaes" else optuna.samplers.GPSampler
            return model(
                n_startup_trials=sampler.startup_trials,
                independent_sampler=independent,
                warn_independent_sampling=False,
                seed=own_seed,
            )
        case "qmc":
            # The sequence goes on from a counter in the study, so every trial scrambles it alike.
            return optuna.samplers.QMCSampler(
                qmc_type="sobol",
                scramble=True,
                seed=seed,
                independent_sampler=independent,
                warn_independent_sampling=False,
            )
        case "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=sampler.population, seed=own_seed)
        case "random" | "grid":
            return independent


def new_pruner(scheduler: AnyScheduler, epochs: int) -> optuna.pruners.BasePruner:
    """What stops the trials of a sweep before their end."""
    match scheduler.type:
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=scheduler.min_epochs, reduction_factor=scheduler.reduction_factor
            )
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=scheduler.min_epochs,
                max_resource=epochs,
                reduction_factor=scheduler.reduction_factor,
            )
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=scheduler.startup_trials, n_warmup_steps=scheduler.min_epochs
            )
        case "none":
            return optuna.pruners.NopPruner()
