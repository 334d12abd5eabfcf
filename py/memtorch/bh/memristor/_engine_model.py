"""What the models that run in the engine share: one device is one row of a ``DeviceArray``.

``VTEAM()`` owns an array of one device; ``crossbar.devices[i][j]`` is an instance of the same class on the crossbar's
array. Signature, defaults, units and docstring come from the engine's table of the model.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from memtorch._errors import check_bool, check_float, invalid
from memtorch.bh._device_array import DeviceArray
from memtorch.bh._model_table import ModelTable, model_table
from memtorch.bh._signals import FROZEN_STEP
from memtorch.bh.memristor.Memristor import Memristor
from memtorch.bh.StochasticParameter import draw

__all__ = ["EngineModel", "is_engine_model"]


class _Parameter:
    """Attribute of a device: a parameter (a list of parameters for those that 1.1.6 gives as lists)."""

    def __init__(self, name: str, parts: tuple[str, ...] | None, doc: str) -> None:
        self.name, self.parts = name, parts
        self.__doc__ = doc

    def __get__(self, device: Any, owner: type | None = None) -> Any:
        if device is None:
            return self
        if self.parts is None:
            return device.array.value(self.name, device.row)
        return [device.array.value(part, device.row) for part in self.parts]

    def __set__(self, device: Any, value: Any) -> None:
        device.array.set_params(row=device.row, **{self.name: value})


class _State:
    """Attribute of a device: a state variable. Writing it moves the conductance along."""

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.__doc__ = doc

    def __get__(self, device: Any, owner: type | None = None) -> Any:
        return self if device is None else device.array.value(self.name, device.row)

    def __set__(self, device: Any, value: Any) -> None:
        device.array.write_state(self.name, device.row, value)


def _constructor(table: ModelTable) -> Any:
    signature = table.signature()

    def __init__(self: EngineModel, *args: Any, **kwargs: Any) -> None:
        names = list(signature.parameters)[:-1]
        if len(args) > len(names):
            invalid(table.name, "arguments", f"{len(args)} positional", f"be at most {len(names)}: {', '.join(names)}")
        given = dict(zip(names, args, strict=False))
        twice = [name for name in kwargs if name in given]
        if twice:
            invalid(table.name, "arguments", ", ".join(twice), "be given once")
        given.update(kwargs)
        reference = check_bool(table.name, "reference", given.pop("reference", False))
        if reference:
            given = {n: draw(n, v, mean=True) if callable(v) else v for n, v in given.items()}
        array = DeviceArray(type(self), given, (1,), dtype=torch.float64)
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "row", 0)

    parameters = list(signature.parameters.values())
    this = parameters[0].replace(name="self", default=parameters[0].empty)
    __init__.__signature__ = signature.replace(parameters=[this, *parameters])  # type: ignore[attr-defined]
    return __init__


def _rebuild(cls: type[EngineModel], columns: DeviceArray) -> EngineModel:
    return cls._view(columns, 0)


class EngineModel:
    """A device of one of the engine's models. Subclasses name the model; everything else follows from its table.

    Attributes:
        array: The columns that this device is a row of.
        row: Which row.
    """

    model_name: ClassVar[str]
    polarity: ClassVar[int]
    programming_params: ClassVar[dict[str, Any]]
    noise_switch: ClassVar[str | None] = None
    array: DeviceArray
    row: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "model_name" not in cls.__dict__:
            return
        table = model_table(cls.model_name)
        cls.polarity = table.polarity
        cls.programming_params = dict(table.programming_params)
        cls.__doc__ = table.docstring()
        docs = {field.name: f"{field.doc.rstrip('.')} ({field.unit or 'no unit'})." for field in table.params}
        for name in table.public_defaults:
            parts = table.lists.get(name)
            setattr(cls, name, _Parameter(name, parts, docs[parts[0] if parts else name]))
        for field in table.states:
            setattr(cls, field.name, _State(field.name, f"{field.doc.rstrip('.')} ({field.unit or 'no unit'})."))
        if "__init__" not in cls.__dict__:
            cls.__init__ = _constructor(table)  # type: ignore[method-assign]

    @classmethod
    def _view(cls, array: DeviceArray, row: int) -> EngineModel:
        """The device in a row of an array."""
        device = object.__new__(cls)
        object.__setattr__(device, "array", array)
        object.__setattr__(device, "row", row)
        return device

    # ---- Attributes of 1.1.6 ---------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    pos_write_threshold: float = property(  # type: ignore[assignment]
        lambda self: 0.0, doc="Positive voltage from which the state moves (V); 0: no threshold."
    )
    neg_write_threshold: float = property(  # type: ignore[assignment]
        lambda self: 0.0, doc="Negative voltage from which the state moves (V); 0: no threshold."
    )

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            table = self.array.table
            known = ["g", "time_series_resolution", *(s.name for s in table.states), *table.public_defaults]
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; it has {', '.join(known)}")
        object.__setattr__(self, name, value)

    @property
    def g(self) -> float:
        """Conductance (S). Writing it does not clip it; ``set_conductance`` does."""
        return self.array.value("g", self.row)

    @g.setter
    def g(self, value: Any) -> None:
        self.array.write_g_of(self.row, value)

    @property
    def stuck(self) -> bool:
        """Whether the device has failed: it then keeps state and conductance whatever happens."""
        return self.array.is_stuck(self.row)

    @stuck.setter
    def stuck(self, value: Any) -> None:
        self.array.set_stuck_of(self.row, check_bool(type(self).__name__, "stuck", value))

    @property
    def finite_states(self) -> int | None:
        """Number of states that a write can reach, shared by all devices of an array; None: any conductance."""
        return self.array.finite_states

    @finite_states.setter
    def finite_states(self, value: Any) -> None:
        if self.array.size > 1 and value != self.array.finite_states:
            invalid(type(self).__name__, "finite_states", value, "be set on the whole array: devices share it")
        self.array.set_finite_states(value)

    @property
    def time_series_resolution(self) -> float:
        """Time between voltage samples (s), shared by all devices of an array."""
        return self.array.time_series_resolution

    @time_series_resolution.setter
    def time_series_resolution(self, value: Any) -> None:
        name = type(self).__name__
        step = check_float(name, "time_series_resolution", value, 0, exclusive=True, unit="s")
        if self.array.size > 1 and step != self.array.time_series_resolution:
            invalid(name, "time_series_resolution", value, "be set on the whole array: devices share it", "s")
        self.array.time_series_resolution = step

    # ---- Behaviour -------------------------------------------------------------------------------------------------

    def simulate(
        self, voltage_signal: Any, return_current: bool = False, *, rel_tol: float | None = None
    ) -> NDArray[np.float64] | None:
        """Applies a voltage signal; the state moves.

        Args:
            voltage_signal: Voltages (V), one sample every ``time_series_resolution``: a scalar, list, array or tensor
                of any shape with at most one dimension longer than 1.
            return_current: Return the currents.
            rel_tol: None: one explicit step per sample, as MemTorch 1.1.6. Otherwise samples are divided until the
                state's movement is known to within this fraction of its range.

        Returns:
            None, or the currents [samples] (A).

        Raises:
            InvalidArgument: Voltages that are not finite numbers or have another shape, or a bad tolerance.
        """
        wanted = check_bool("simulate", "return_current", return_current)
        current = self.array.simulate(voltage_signal, wanted, rel_tol=rel_tol, row=self.row)
        return None if current is None else current.cpu().numpy()

    def set_conductance(self, conductance: float) -> None:
        """Sets the conductance (S), silently clipped to [1/r_off, 1/r_on].

        Raises:
            InvalidArgument: Not a finite number.
        """
        self.array.set_conductance(check_float("set_conductance", "conductance", conductance, unit="S"), row=self.row)

    def current(self, voltage: float) -> float:
        """The current (A) that the device carries in its present state at a voltage (V)."""
        volts = check_float("current", "voltage", voltage, unit="V")
        if type(self).simulate is not EngineModel.simulate:  # a subclass with physics of its own
            return Memristor.current(self, volts)  # type: ignore[arg-type]
        device = self._standalone()
        device.array.time_series_resolution = FROZEN_STEP
        current = device.array.simulate([volts], return_current=True, row=0)
        assert current is not None
        return current.item()

    # ---- Copies ----------------------------------------------------------------------------------------------------

    def _standalone(self) -> EngineModel:
        """A copy on an array of its own, bit for bit."""
        source = self.array
        params = {f.name: source.value(f.name, self.row) for f in source.table.params}
        params["time_series_resolution"] = source.time_series_resolution
        columns = DeviceArray(source.memristor_model, params, (1,), dtype=source.g.dtype)
        columns.copy_device(0, self)
        columns.set_finite_states(source.finite_states)
        if source.size == 1:  # the copy draws the same noise; a device of a larger array shares its generator
            columns._noise_key, columns._noise_draws = source._noise_key, source._noise_draws
        device = type(self)._view(columns, 0)
        vars(device).update(copy.deepcopy(self._own_attributes()))
        return device

    def _own_attributes(self) -> dict[str, Any]:
        """What a subclass has added to the device."""
        return {name: value for name, value in vars(self).items() if name not in ("array", "row")}

    def __deepcopy__(self, memo: dict[int, Any]) -> EngineModel:
        return self._standalone()

    def __copy__(self) -> EngineModel:
        return self._standalone()

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self._standalone().array), self._own_attributes() or None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EngineModel) and self.array is other.array and self.row == other.row

    def __hash__(self) -> int:
        return hash((id(self.array), self.row))

    def __repr__(self) -> str:
        states = ", ".join(f"{s.name}={self.array.value(s.name, self.row):.4g}" for s in self.array.table.states)
        return f"{type(self).__name__}(g={self.g:.4g} S, {states})"


# What decides how a device behaves; a subclass that overrides any of it is a model written in Python.
_PHYSICS = ("simulate", "set_conductance", "current", "g")


def is_engine_model(memristor_model: Any) -> bool:
    """Whether devices of a class run in the engine: a built-in model whose physics no subclass has overridden."""
    if not (isinstance(memristor_model, type) and issubclass(memristor_model, EngineModel)):
        return False
    built_in = next(base for base in memristor_model.__mro__ if "model_name" in vars(base))
    overridden = memristor_model.__init__ is not built_in.__init__  # type: ignore[misc]
    return not overridden and all(getattr(memristor_model, name) is getattr(EngineModel, name) for name in _PHYSICS)
