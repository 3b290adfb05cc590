"""Where the voxels of a scan lie, in mm: from header fields that may contradict each other.

A NIfTI header can state the position three times (sform, qform, voxel sizes), in a unit of its own.
If these agree, the position is that of nibabel, FSL and ITK. If they disagree, so do these
programs: the first usable of sform and qform is taken, as in nibabel, unless only another reading
gives the size of a head; a note says so. Positions are used internally only: results are written
with the header's own fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.grid import Grid, Shape
from napari_singlestrip.engine.imaging.scan_files import readable
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import open_regular

Matrix = NDArray[np.float64]

POSSIBLE_MM = (10.0, 600.0)  # longest side of a head scan, from a mouse to a wide field of view
HEAD_MM = (130.0, 300.0)  # usual range of every side of a human head scan
FAR_MM = 1e6  # no voxel lies further from the origin, which is in the head
SPACING_MM = (1e-4, 1e3)  # voxel sizes of a scan

_USABLE = (1e-9, 1e9)  # voxel sizes in any unit

_UNITS = {1: (1e3, "metres", "m"), 2: (1.0, "millimetres", "mm"), 3: (1e-3, "micrometres", "um")}
_LONG = 1 + 1e-5  # length of a quaternion beyond rounding errors
_LAST_CODE = 5  # the last defined sform and qform code
_UNIT_BITS = 7  # spatial unit in xyzt_units; the other bits are the unit of time
_SAME_SPACING = 0.01  # relative: headers are rounded
_SAME_DIRECTION_DEG = 1.0
_NOT_HEAD = math.log(1.25)  # of `_unlike_a_head`: slightly too small or large is no contradiction
_MAX_MAT_BYTES = 2**20
_CORRECT = "Correct its header, or convert it again from its source."


@dataclass(frozen=True)
class Position:
    """Position of a scan's voxels.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel index to RAS mm.
    readings : tuple of ndarray
        This affine first, then those that other programs may read from the same header: a mask
        written by them for the scan has one of these.
    notes : tuple of str
        What a person should know.
    """

    affine: Matrix
    readings: tuple[Matrix, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Form:
    """A position as stated by one part of the header, in the header's unit."""

    name: str
    affine: Matrix

    @property
    def spacing(self) -> Matrix:
        return _spacing(self.affine)


def find_position(header: Any, shape: Shape, path: Path) -> Position:
    """Find where the voxels of a scan lie.

    Parameters
    ----------
    header : nibabel header
        With the fields as they are stored.
    shape : (i, j, k)
    path : Path
        The file; an Analyze file may come with a .mat of SPM.

    Raises
    ------
    UserError
        If there is no usable voxel size or position.
    """
    with np.errstate(all="ignore"):  # fields of a header can be any number
        return _find(header, shape, path)


def _find(header: Any, shape: Shape, path: Path) -> Position:
    if isinstance(header, nib.Nifti1Header):
        forms, notes = _nifti_forms(header, shape, path)
        declared = _UNITS.get(int(header["xyzt_units"]) & _UNIT_BITS)
    else:
        forms, notes, declared = [_Form("header", _plain_affine(header, path))], (), _UNITS[2]
        notes = _missing_orientation(header)
    form, scale = _choose(forms, shape, declared)
    affine = _scaled(form.affine, scale)
    _check_spacing(_spacing(affine), path)
    notes += _about_unit(form, scale, declared, shape)
    notes += _about_forms(forms, form, scale, shape)
    affine, far = _near(affine, shape)
    scales = dict.fromkeys((scale, 1.0))
    others = [_scaled(f.affine, s) for f in [form, *forms] for s in scales]
    return Position(affine, (affine, *others), notes + far)


# --- fields of the header


def _nifti_forms(
    header: Any, shape: Shape, path: Path
) -> tuple[list[_Form], tuple[str, ...]]:
    """The usable positions in a NIfTI header, nibabel's first."""
    size = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    has_size = _is_usable(size)
    has_sform, has_qform = header["sform_code"] > 0, header["qform_code"] > 0
    sform, qform = _sform(header), _qform(header, size)
    forms, notes = [], _unknown_codes(header)
    if has_qform and (length := _quaternion_length(header)) > _LONG:
        notes.append(f"quaternion of length {length:.6g}: shortened to 1, as FSL and ITK do")
    if has_sform:
        trouble = _trouble(sform, path)
        usable_qform = has_qform and has_size and _trouble(qform, path) is None
        if trouble is None:
            forms.append(_Form("sform", sform))
        elif not usable_qform:
            raise trouble
        else:
            notes.append("its sform is no position (zero, singular or not finite): qform taken")
        if usable_qform:
            forms.append(_Form("qform", qform))
        elif forms and has_size:
            forms.append(_Form("voxel size", sform / [*(_spacing(sform) / size), 1.0]))
        if forms[0].name == "sform" and not has_size:
            notes.append("no voxel size in its header: that of its sform taken")
        return forms, tuple(notes)
    if not has_size:
        raise _bad_spacing(size, path)
    if has_qform:
        if (trouble := _trouble(qform, path)) is not None:
            raise trouble
        return [_Form("qform", qform)], tuple(notes)
    base = nib.volumeutils.shape_zoom_affine(shape, size, True)
    # FSL and ITK do not flip, and put the origin at the first voxel.
    forms = [_Form("voxel size", base), _Form("voxel size", np.diag([*size, 1.0]))]
    return forms, ("no orientation in its header: check left and right",)


def _unknown_codes(header: Any) -> list[str]:
    """Forms with an unknown code, which FSL, ITK and we use, but nibabel ignores."""
    codes = {name: int(header[f"{name}_code"]) for name in ("sform", "qform")}
    return [
        f"{name}_code {code} is unknown: {name} not ignored"
        for name, code in codes.items() if code > _LAST_CODE
    ]  # fmt: skip


def _sform(header: Any) -> Matrix:
    rows = [header["srow_x"], header["srow_y"], header["srow_z"], [0, 0, 0, 1]]
    return np.array([np.asarray(row, dtype=np.float64) for row in rows])


def _qform(header: Any, size: Matrix) -> Matrix:
    """Position from quaternion and voxel size.

    A quaternion that is longer than 1 through rounding is normalised, as in FSL and ITK.
    """
    b, c, d = (float(header[f"quatern_{name}"]) for name in "bcd")
    length = _quaternion_length(header)
    if length > 1:
        b, c, d = b / length, c / length, d / length
    a = math.sqrt(max(0.0, 1 - length * length))
    affine = np.eye(4)
    affine[:3, :3] = nib.quaternions.quat2mat([a, b, c, d]) * size
    if header["pixdim"][0] < 0:
        affine[:3, 2] *= -1
    affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _quaternion_length(header: Any) -> float:
    return math.hypot(*(float(header[f"quatern_{name}"]) for name in "bcd"))


def _plain_affine(header: Any, path: Path) -> Matrix:
    """Position in the header of an MGH or Analyze file."""
    is_mgh = isinstance(header, nib.freesurfer.mghformat.MGHHeader)
    size = np.abs(np.asarray(header["delta"] if is_mgh else header["pixdim"][1:4], np.float64))
    if not _is_usable(size):
        raise _bad_spacing(size, path)
    affine = None if is_mgh else _spm_affine(path)
    if affine is None:
        header = header.copy()
        if not is_mgh:
            header["pixdim"][1:4] = size
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if (trouble := _trouble(affine, path)) is not None:
        raise trouble
    return affine


def _missing_orientation(header: Any) -> tuple[str, ...]:
    if not isinstance(header, nib.freesurfer.mghformat.MGHHeader):
        return ("Analyze format stores no orientation: check left and right",)
    if header["goodRASFlag"]:
        return ()
    return ("no orientation in its header: check left and right",)


def _spm_affine(path: Path) -> Matrix | None:
    """Position in the .mat that SPM writes beside an Analyze file; its first voxel is (1, 1, 1)."""
    mat = path.with_name(path.name.split(".img")[0].split(".hdr")[0] + ".mat")
    if not mat.is_file():
        return None
    with readable(mat), open_regular(mat) as file:
        content = file.read(_MAX_MAT_BYTES)
    try:
        found = scipy.io.loadmat(BytesIO(content), variable_names=("M", "mat"))
        stored = np.asarray(found["mat" if "mat" in found else "M"], np.float64)
        affine = stored.reshape(4, 4, -1)[:, :, 0]
    except Exception as error:  # scipy raises various errors for other files
        raise UserError(
            f"{mat.name}, the position of {path.name}, cannot be read ({error}).",
            "Move it to another folder if it does not belong to the scan.",
        ) from error
    if "mat" not in found:  # "M" is for the flipped scan
        affine = np.diag([-1.0, 1, 1, 1]) @ affine
    first = np.eye(4)
    first[:3, 3] = 1
    return np.asarray(affine @ first)


# --- choosing a position


def _choose(
    forms: Sequence[_Form], shape: Shape, declared: tuple[float, str, str] | None
) -> tuple[_Form, float]:
    """Choose a position and its unit: the first, unless only another is possible or head-sized."""
    first = 1.0 if declared is None else declared[0]
    scales = list(dict.fromkeys([first, 1.0, 1e-3, 1e3]))
    is_clear = _same_spacing(forms[0], forms[-1])
    choice = [forms[0]] if is_clear else [forms[0], forms[-1]]
    readings = [(form, scale) for scale in scales for form in choice]
    possible = [r for r in readings if _is_possible(*r, shape)]
    usual = (possible or [r for r in readings if _is_spacing(r[0].spacing * r[1])] or readings)[0]
    if is_clear:
        return usual
    unlike = [_unlike_a_head(_extent(*r, shape)) for r in readings]
    best = int(np.argmin(unlike))
    if unlike[best] < 2 * _NOT_HEAD and unlike[best] + _NOT_HEAD < unlike[readings.index(usual)]:
        return readings[best]
    return usual


def _unlike_a_head(extent: Matrix) -> float:
    """How much sides are too short or too long for a human head (sum of log ratios)."""
    low, high = (np.log(limit) for limit in HEAD_MM)
    sides = np.log(extent)
    return float(np.maximum(low - sides, 0).sum() + np.maximum(sides - high, 0).sum())


def _is_possible(form: _Form, scale: float, shape: Shape) -> bool:
    return bool(POSSIBLE_MM[0] <= _extent(form, scale, shape).max() <= POSSIBLE_MM[1])


def _extent(form: _Form, scale: float, shape: Shape) -> Matrix:
    return np.asarray(form.spacing * shape * scale)


def _same_spacing(one: _Form, other: _Form) -> bool:
    return bool((np.abs(one.spacing / other.spacing - 1) <= _SAME_SPACING).all())


# --- notes for the user


def _about_unit(
    form: _Form, scale: float, declared: tuple[float, str, str] | None, shape: Shape
) -> tuple[str, ...]:
    usual = 1.0 if declared is None else declared[0]
    taken = _sizes(form.spacing * scale)
    if scale != usual:
        word = "no unit" if declared is None else declared[1]
        wrong = _extent(form, usual, shape).max()
        return (
            f"voxel size in {word} in its header, a field of view of {wrong:.3g} mm: "
            f"cannot be; {taken} mm taken",
        )
    if usual != 1 and declared is not None:
        stored = _sizes(form.spacing)
        return (f"voxel size in {declared[1]} in its header: {stored} {declared[2]} taken as "
                f"{taken} mm",)  # fmt: skip
    return ()


def _about_forms(
    forms: Sequence[_Form], taken: _Form, scale: float, shape: Shape
) -> tuple[str, ...]:
    """Describe how two positions disagree, and which one was taken."""
    one, other = forms[0], forms[-1]
    if one is other or one.name == other.name:
        return ()
    if not _same_spacing(one, other):
        extent = " x ".join(f"{x:.0f}" for x in _extent(taken, scale, shape))
        return (
            f"two voxel sizes in its header, {one.name} {_sizes(one.spacing * scale)} mm and "
            f"{other.name} {_sizes(other.spacing * scale)} mm: that of the {taken.name} taken, a "
            f"field of view of {extent} mm",
        )
    if (np.linalg.det(one.affine) < 0) != (np.linalg.det(other.affine) < 0):
        return (f"sform and qform contradict in handedness: {taken.name} taken, check left and "
                "right",)  # fmt: skip
    if (angle := _angle(one, other)) > _SAME_DIRECTION_DEG:
        return (f"sform and qform are turned by {angle:.0f} degrees: {taken.name} taken",)
    apart = np.abs(Grid(shape, one.affine).corners() - Grid(shape, other.affine).corners()).max()
    if apart > one.spacing.max():
        return (f"sform and qform lie {apart * scale:.3g} mm apart: {taken.name} taken",)
    return ()


def _angle(one: _Form, other: _Form) -> float:
    """Largest angle between corresponding axes, in degrees."""
    cosines = (one.affine[:3, :3] / one.spacing * (other.affine[:3, :3] / other.spacing)).sum(0)
    return float(np.rad2deg(np.arccos(np.clip(cosines, -1, 1))).max())


def _sizes(spacing: Matrix) -> str:
    sizes = [f"{s:.4g}" for s in spacing]
    return sizes[0] if len(set(sizes)) == 1 else " x ".join(sizes)


# --- unusable positions


def _trouble(affine: Matrix, path: Path) -> UserError | None:
    """The error for a position that cannot be used."""
    if not np.isfinite(affine).all():
        return UserError(f"{path.name} has NaN or inf in its position (affine).", _CORRECT)
    spacing = _spacing(affine)
    if not _is_usable(spacing):
        return _bad_spacing(spacing, path)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        return UserError(f"{path.name} has a singular affine: its axes lie in a plane.", _CORRECT)
    return None


def _bad_spacing(spacing: Matrix, path: Path) -> UserError:
    size = " x ".join(f"{s:.3g}" for s in spacing)
    what = "zero or NaN" if not (spacing > 0).all() else "no scan"
    return UserError(f"{path.name} has a voxel size of {what} ({size} mm).", _CORRECT)


def _is_usable(spacing: Matrix) -> bool:
    """Whether this can be a voxel size, in some unit."""
    return bool(((spacing > _USABLE[0]) & (spacing < _USABLE[1])).all())


def _check_spacing(spacing: Matrix, path: Path) -> None:
    if not _is_spacing(spacing):
        raise _bad_spacing(spacing, path)


def _is_spacing(spacing: Matrix) -> bool:
    return bool((spacing >= SPACING_MM[0]).all() and (spacing <= SPACING_MM[1]).all())


def _near(affine: Matrix, shape: Shape) -> tuple[Matrix, tuple[str, ...]]:
    """Move a scan that lies kilometres away, where precision is lost, to the origin."""
    far = np.abs(affine[:3, 3]).max()
    if far <= FAR_MM:
        return affine, ()
    near = affine.copy()
    near[:3, 3] = -near[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return near, (f"it lies {far:.3g} mm from the origin of its header: taken as centred there",)


def _scaled(affine: Matrix, scale: float) -> Matrix:
    scaled = affine.copy()
    scaled[:3] *= scale
    return scaled


def _spacing(affine: Matrix) -> Matrix:
    return np.asarray(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
