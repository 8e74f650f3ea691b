"""Fields of a MuJoCo model that a task sets, always starting again from the model as it was built.

Constants that MuJoCo derives from a field (`mj_setConst`) are computed again with it, in a
simulation of their own, so that the environment's is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from metarl.foundation.errors import ConfigError
from metarl.tasks.attribute_paths import Path, find, shown

# What a field's prefix counts: MuJoCo's object type, and the model's number of them. Degrees of
# freedom are named by their joint.
_KINDS = {
    "body": ("BODY", "nbody"),
    "geom": ("GEOM", "ngeom"),
    "jnt": ("JOINT", "njnt"),
    "dof": ("JOINT", "njnt"),
    "site": ("SITE", "nsite"),
    "cam": ("CAMERA", "ncam"),
    "light": ("LIGHT", "nlight"),
    "actuator": ("ACTUATOR", "nu"),
    "tendon": ("TENDON", "ntendon"),
    "eq": ("EQUALITY", "neq"),
    "mat": ("MATERIAL", "nmat"),
}
_DOFS_OF_JOINTS = (6, 3, 1, 1)
"""Of a free, ball, slide and hinge joint, in the order of MuJoCo's mjtJoint."""
_NOT_PHYSICS = ("opt", "vis", "stat")
"""Parts of a model that no derived constant depends on."""


@dataclass(frozen=True)
class ModelField:
    """A field of the model, or a part of it."""

    path: Path
    """Where it is in `mujoco.MjModel`, such as ("body_mass",) or ("opt", "gravity", 2)."""
    of: str | int | None = None
    """The body, geom, joint, … it belongs to, by name or index; None: all of them."""
    relative: bool = False
    """The task multiplies the model's own value."""

    def __str__(self) -> str:
        return f"model field {shown(self.path)}" + (f" of {self.of}" if self.of is not None else "")


class ModelFields:
    """The fields that tasks set in one model."""

    def __init__(self, model: Any, fields: Sequence[ModelField]) -> None:
        self._model = model
        self._fields = fields
        self._elements = [element_of(model, field) for field in fields]
        self._own = [np.array(_whole(model, field)) for field in fields]
        self._derived = any(field.path[0] not in _NOT_PHYSICS for field in fields)

    def apply(self, values: Sequence[np.ndarray]) -> None:
        """Set every field to the task's value.

        Raises:
            ConfigError: a value does not fit its field.

        """
        for field, own in zip(self._fields, self._own, strict=True):
            _store(self._model, field.path, own)
        for field, element, value in zip(self._fields, self._elements, values, strict=True):
            changed = np.array(_whole(self._model, field))
            changed[element] = _new_value(changed[element], value, field)
            _store(self._model, field.path, changed)
        if self._derived:
            import mujoco

            mujoco.mj_setConst(self._model, mujoco.MjData(self._model))

    def values(self) -> list[np.ndarray]:
        """Give what the fields hold now."""
        return [
            np.array(np.asarray(_whole(self._model, field))[element])
            for field, element in zip(self._fields, self._elements, strict=True)
        ]


def element_of(model: Any, field: ModelField) -> Any:
    """Give the index of a field's part in the array of the field; an ellipsis for all of it.

    Raises:
        ConfigError: there is no such field, or nothing of that name.

    """
    whole = np.asarray(_whole(model, field))
    indices = tuple(step for step in field.path if isinstance(step, int))
    if field.of is None:
        index: tuple[Any, ...] = (*indices, ...)
    elif isinstance(field.of, int):
        index = (field.of, *indices)
    else:
        index = (_numbered(model, field), *indices)
    try:
        whole[index]
    except IndexError as error:
        raise ConfigError(f"{field}: the field has the shape {whole.shape}") from error
    return index


def _whole(model: Any, field: ModelField) -> Any:
    """Give the array that the field is, without indices."""
    names = tuple(step for step in field.path if isinstance(step, str))
    value = find(model, names, "the MuJoCo model")
    if not np.issubdtype(np.asarray(value).dtype, np.number):
        raise ConfigError(f"{field} holds no numbers but {type(value).__name__}")
    return value


def _store(model: Any, path: Path, values: np.ndarray) -> None:
    *outer, last = (step for step in path if isinstance(step, str))
    owner = find(model, tuple(outer), "the MuJoCo model")
    if values.ndim:
        getattr(owner, last)[...] = values
    else:
        setattr(owner, last, values.item())


def _new_value(own: Any, value: np.ndarray, field: ModelField) -> np.ndarray:
    shape = np.shape(own)
    if field.relative and value.size == 1:
        return np.asarray(own * value.item())
    if value.size != int(np.prod(shape)):
        raise ConfigError(
            f"{field} holds {int(np.prod(shape))} numbers, the task gives {value.size}"
        )
    given = value.reshape(shape)
    return np.asarray(own * given if field.relative else given)


def _numbered(model: Any, field: ModelField) -> int | slice:
    """Find what a field's `of` names: its number, or the degrees of freedom of a joint."""
    import mujoco

    prefix = str(field.path[0]).partition("_")[0]
    if prefix not in _KINDS:
        raise ConfigError(f"{field}: there are no names for this field; give an index")
    name, counted = _KINDS[prefix]
    kind = getattr(mujoco.mjtObj, f"mjOBJ_{name}")
    number = mujoco.mj_name2id(model, kind, field.of)
    if number < 0:
        names = [mujoco.mj_id2name(model, kind, each) for each in range(getattr(model, counted))]
        known = [each for each in names if each]
        near = get_close_matches(str(field.of), known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"{field}: the model has no {name.lower()} {field.of!r}; {hint}")
    if prefix != "dof":
        return int(number)
    first = int(model.jnt_dofadr[number])
    return slice(first, first + _DOFS_OF_JOINTS[int(model.jnt_type[number])])
