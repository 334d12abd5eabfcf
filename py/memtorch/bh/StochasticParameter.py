"""Parameters that differ from device to device."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, LogNormal, Normal, Uniform

from memtorch import _ops
from memtorch._errors import InvalidArgument, check_bool, check_float, check_int, check_mapping, invalid

__all__ = ["Dict2Obj", "StochasticParameter", "unpack_parameters"]


class _Sampler:
    """What ``StochasticParameter`` returns: a distribution limited to [min, max]. Picklable."""

    def __init__(self, distribution: Distribution, minimum: float, maximum: float) -> None:
        self.distribution = distribution
        self.min = minimum
        self.max = maximum

    def __call__(self, return_mean: bool = False) -> float | Tensor:
        """One sample as a float, or with ``return_mean`` the distribution's mean as a tensor []."""
        if return_mean:
            return self.distribution.mean
        return min(max(float(self.distribution.sample()), self.min), self.max)

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        """Independent samples [count], float64, on a device. ``torch.manual_seed`` reproduces them.

        Uniform, normal and log-normal ones come from the engine's counter-based generator and are drawn where they are
        wanted, everywhere the same; others by torch, where the distribution's parameters are.
        """
        drawn = self.distribution
        if type(drawn) is Uniform:
            shape = ("uniform", float(drawn.low), float(drawn.high) - float(drawn.low))
        elif type(drawn) is Normal or type(drawn) is LogNormal:
            kind = "normal" if type(drawn) is Normal else "log_normal"
            shape = (kind, float(drawn.loc), float(drawn.scale))
        else:
            samples = drawn.sample(torch.Size((count,))).to(device, torch.float64)
            return samples.clamp_(self.min, self.max)
        out = torch.empty(count, dtype=torch.float64, device=device)
        return _ops.random_distributed_(out, _ops.random_seed(), *shape, self.min, self.max)

    def __repr__(self) -> str:
        return f"StochasticParameter({self.distribution}, min={self.min:g}, max={self.max:g})"


def StochasticParameter(
    distribution: type[Distribution] = Normal,
    min: float = 0,
    max: float = math.inf,
    function: bool = True,
    **kwargs: Any,
) -> Any:
    """Models a parameter that is drawn anew for every device.

    Example:
        >>> r_on = memtorch.bh.StochasticParameter(loc=1e3, scale=50, min=500)
        >>> memtorch.bh.crossbar.Crossbar(memtorch.bh.memristor.VTEAM, {"r_on": r_on, "r_off": 1e4}, shape=(64, 64))

    Args:
        distribution: A class of ``torch.distributions``.
        min: Samples below are set to it.
        max: Samples above are set to it.
        function: Return a sampler (True), or one sample (False).
        **kwargs: Arguments of the distribution; those that have a default may be left out.

    Returns:
        A sampler ``f(return_mean=False)``: a sample as a float, or the distribution's mean as a tensor; or one sample.

    Raises:
        InvalidArgument: Not a distribution of one number, an argument of it missing, unknown or out of range, or
            ``min`` above ``max``.
    """
    op = "StochasticParameter"
    if not (isinstance(distribution, type) and issubclass(distribution, Distribution)):
        invalid(op, "distribution", distribution, "be a class of torch.distributions")
    known = _check_distribution_arguments(op, distribution, kwargs)
    limits = {"min": min, "max": max}
    for name, value in limits.items():
        if not isinstance(value, float) or math.isnan(value):  # infinity is a limit like any other
            limits[name] = check_float(op, name, value)
    if limits["min"] > limits["max"]:
        invalid(op, "min", min, f"be <= max ({max!r})")
    try:
        built = distribution(**{**({"validate_args": True} if "validate_args" in known else {}), **kwargs})
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InvalidArgument(f"[{op}] {_describe(kwargs)} must suit {distribution.__name__}: {error}") from error
    if built.batch_shape or built.event_shape:
        invalid(op, "distribution", built, "be a distribution of one number")
    sampler = _Sampler(built, float(limits["min"]), float(limits["max"]))
    return sampler if check_bool(op, "function", function) else sampler()


def _describe(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({value!r})" for name, value in arguments.items()) or "the arguments"


def _check_distribution_arguments(op: str, distribution: type[Distribution], given: Mapping[str, Any]) -> list[str]:
    """The names of a distribution's arguments, once those given are known to be complete and among them."""
    signature = inspect.signature(distribution)
    known = {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    required = [n for n, p in known.items() if p.default is p.empty]
    missing = [n for n in required if n not in given]
    unknown = [n for n in given if n not in known]
    if missing or unknown:
        problem = " and ".join(
            text
            for text in (
                f"lack {', '.join(missing)}" if missing else "",
                f"hold the unknown {', '.join(unknown)}" if unknown else "",
            )
            if text
        )
        takes = ", ".join(n if n in required else f"{n} (optional)" for n in known)
        raise InvalidArgument(
            f"[{op}] arguments of {distribution.__name__} {problem}; they must be among: {takes}, min, max, function"
        )
    return list(known)


class Dict2Obj:
    """The entries of a dictionary as attributes (except ``__class__``).

    Raises:
        InvalidArgument: Not a dictionary, or a key that is no text.
    """

    def __init__(self, dictionary: Mapping[str, Any]) -> None:
        for key, value in check_mapping("Dict2Obj", "dictionary", dictionary, "be a dict with names as keys").items():
            if key != "__class__":
                setattr(self, key, value)


def draw(name: str, parameter: Callable[..., Any], mean: bool) -> float:
    """One value of a stochastic parameter, or its mean.

    Raises:
        InvalidArgument: It gives no number.
    """
    try:
        return float(parameter(return_mean=True) if mean else parameter())
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        must = "give its mean when called with return_mean=True" if mean else "give a number when called"
        raise InvalidArgument(f"[StochasticParameter] {name} ({parameter!r}) must {must}: {error}") from error


def draw_column(parameter: Callable[..., Any], name: str, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Samples [count], float64, of a stochastic parameter (any callable that returns a number), on a device."""
    if isinstance(parameter, _Sampler):
        return parameter.sample(count, device)
    values = [draw(name, parameter, mean=False) for _ in range(count)]
    return torch.tensor(values, dtype=torch.float64, device=device)


def draw_columns(
    op: str,
    parameters: Mapping[str, Any],
    count: int,
    resample_threshold: int = 5,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Replaces every callable by samples [count]; r_on and r_off are redrawn where not 0 < r_on < r_off.

    ``parameters`` hold both r_on and r_off if one of them is stochastic.

    Args:
        op: The class that the devices are built for.
        parameters: Parameters by name; callables are sampled, everything else is passed on.
        count: Number of devices.
        resample_threshold: How often a device's r_on and r_off are redrawn.
        device: Where the samples are wanted.

    Raises:
        InvalidArgument: Some devices still violate 0 < r_on < r_off.
    """
    columns = {n: draw_column(p, n, count, device) if callable(p) else p for n, p in parameters.items()}
    stochastic = [n for n in ("r_on", "r_off") if callable(parameters.get(n))]
    if not stochastic:
        return columns
    for attempt in range(resample_threshold + 1):
        r_on, r_off = (
            torch.as_tensor(columns[n], dtype=torch.float64, device=device).reshape(-1) for n in ("r_on", "r_off")
        )
        if {r_on.numel(), r_off.numel()} - {1, count}:
            return columns  # an array of the wrong size: its own error is for whoever stores the columns
        violated = (r_on >= r_off).logical_or_(r_on <= 0)
        if not bool(violated.any()):
            return columns
        index = violated.nonzero().squeeze(1)
        if attempt < resample_threshold:
            for name in stochastic:
                columns[name][index] = draw_column(parameters[name], name, index.numel(), device)
    raise InvalidArgument(
        f"[{op}] r_on ({parameters['r_on']!r} ohm) must lie between 0 and r_off ({parameters['r_off']!r} ohm) on every "
        f"device: {index.numel()} of {count} violate it after {resample_threshold} resamplings"
    )


def _is_sampler(name: str, value: Any) -> bool:
    return name != "self" and "__" not in name and callable(value) and not isinstance(value, type)


def unpack_parameters(
    local_args: Mapping[str, Any],
    r_rel_tol: float | None = None,
    r_abs_tol: float | None = None,
    resample_threshold: int = 5,
) -> Dict2Obj:
    """Draws the stochastic parameters among a model constructor's arguments.

    For models written in Python: ``args = memtorch.bh.unpack_parameters(locals())``, then ``args.r_on`` and so on.
    With ``reference=True`` among the arguments (or in their ``kwargs``) means are taken in place of samples.

    Args:
        local_args: The constructor's ``locals()``; callables whose name has no "__" are sampled.
        r_rel_tol: r_on and r_off closer than this relative distance are redrawn; default 1e-9.
        r_abs_tol: The same as an absolute distance in ohm; only one of the two may be given.
        resample_threshold: How often r_on and r_off are redrawn.

    Returns:
        The arguments as attributes.

    Raises:
        InvalidArgument: Both tolerances given, a bad threshold, or r_on not below r_off in the end.
    """
    op = "unpack_parameters"
    if r_rel_tol is not None and r_abs_tol is not None:
        invalid(op, "r_abs_tol", r_abs_tol, "be None when r_rel_tol is given")
    for name, tolerance in (("r_rel_tol", r_rel_tol), ("r_abs_tol", r_abs_tol)):
        if tolerance is not None:
            check_float(op, name, tolerance, 0)
    check_int(op, "resample_threshold", resample_threshold, 0)
    check_mapping(op, "local_args", local_args, "be the locals() of a constructor")
    kwargs = local_args.get("kwargs")
    mean = bool(local_args.get("reference") or (isinstance(kwargs, Mapping) and kwargs.get("reference")))
    samplers = {n: v for n, v in local_args.items() if _is_sampler(n, v)}
    values = {**local_args, **{n: draw(n, v, mean) for n, v in samplers.items()}}
    if "r_off" in values and "r_on" in values:
        for name in ("r_on", "r_off"):
            check_float(op, name, values[name], unit="ohm")
        close = 1e-9 * abs(values["r_off"]) if r_rel_tol is None else r_rel_tol * abs(values["r_off"])
        distance = close if r_abs_tol is None else r_abs_tol
        redrawn = [n for n in ("r_on", "r_off") if n in samplers and not mean]
        for _ in range(resample_threshold if redrawn else 0):
            if values["r_off"] - values["r_on"] > distance:
                break
            values.update({n: draw(n, samplers[n], mean) for n in redrawn})
        if not values["r_off"] - values["r_on"] > distance:
            reason = f"after {resample_threshold} resamplings" if redrawn else "and neither is drawn at random"
            invalid(op, "r_on", values["r_on"], f"lie below r_off ({values['r_off']!r} ohm), {reason}", "ohm")
    return Dict2Obj(values)
