"""Drawing of synthetic faces, from the background to the glasses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wav2pix.data.canvas import Canvas, Plane, arc, box, column, ellipse
from wav2pix.data.exact import sine
from wav2pix.data.face import Colour, Face, Views


def darker(colour: Colour, factor: float) -> Colour:
    """The colour, multiplied."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def draw_faces(face: Face, views: Views, size: int) -> npt.NDArray[np.uint8]:
    """The pictures of a recording.

    Returns:
        (B, S, S, 3) uint8 RGB.
    """
    canvas = Canvas(views, size)
    _background(canvas, views)
    _hair_behind(canvas, face)
    _neck(canvas, face, views)
    head = _head(canvas, face, views)
    fu, fv = canvas.u - column(views.yaw) * 0.1, canvas.v - column(views.pitch) * 0.06
    _nose(canvas, face, views, fu, fv)
    if face.beard:
        _beard(canvas, face, head, fu, fv)
    _mouth(canvas, face, views, fu, fv)
    for side in (-1, 1):
        _eye(canvas, face, views, side, (fu, fv))
    _hair_in_front(canvas, face, head, views)
    if face.glasses:
        _glasses(canvas, face, head, fu, fv)
    light = np.array(views.warmth, np.float32) * np.float32(views.brightness * 255)
    pixels: npt.NDArray[np.uint8] = np.rint(np.clip(canvas.image * light, 0, 255)).astype(np.uint8)
    return pixels


def _background(canvas: Canvas, views: Views) -> None:
    top, bottom = (np.array(colour, np.float32) for colour in views.background)
    share = ((canvas.y + 1) * 0.5)[..., None]
    canvas.image[:] = top + (bottom - top) * share
    x, y, radius = views.blob
    spot = np.clip(1 - ellipse(canvas.x - x, canvas.y - y, radius, radius) / radius, 0, 1) - 0.5
    canvas.image *= (1 + 0.5 * np.clip(spot, -0.3, 0.5))[..., None]


def _outline(canvas: Canvas, face: Face) -> Plane:
    """Distance from the head: an ellipse that narrows towards the chin."""
    down = np.clip(canvas.v / face.height, 0, 1)
    return ellipse(canvas.u / (1 - face.jaw * down * down), canvas.v, face.width, face.height)


def _neck(canvas: Canvas, face: Face, views: Views) -> None:
    u, v = canvas.u, canvas.v
    shoulders = ellipse(u, v - 1.32, 1.15, 0.58)
    neck = box(u, v - 0.75, face.width * 0.55, 0.4, 0.12)
    canvas.paint(canvas.cover(neck), darker(face.skin, 0.72))
    canvas.paint(canvas.cover(shoulders), views.clothes)
    collar = np.abs(ellipse(u, v - 0.66, face.width * 0.6, 0.36)) - 0.03
    canvas.paint(canvas.cover(np.maximum(collar, shoulders)), darker(views.clothes, 0.7))


def _head(canvas: Canvas, face: Face, views: Views) -> Plane:
    """Ears and head with the light on them; returns the distance from the head."""
    outline = _outline(canvas, face)
    for side in (-1, 1):
        shift = np.float32(side * face.width * 0.98) + column(views.yaw) * 0.03
        ear = ellipse(canvas.u - shift, canvas.v - 0.04, 0.075, 0.14)
        canvas.paint(canvas.cover(ear), darker(face.skin, 0.84))
    across = np.clip(canvas.u / face.width, -1, 1)
    along = np.clip(canvas.v / face.height, -1, 1)
    facing = np.sqrt(np.maximum(1 - 0.75 * (across * across + along * along), 0.05))
    lit = across * views.light[0] + along * views.light[1] + facing * 0.75
    shade = np.clip(0.66 + 0.42 * lit, 0.5, 1.16)
    skin = shade[..., None] * np.array(face.skin, np.float32)
    canvas.paint(canvas.cover(outline), skin)
    for side in (-1, 1):
        cheek = ellipse(canvas.u - side * face.width * 0.55, canvas.v - 0.2, 0.15, 0.11)
        canvas.paint(canvas.cover(cheek, 5.0), (face.skin[0], face.skin[1] * 0.75, face.skin[2] * 0.75), 0.22)
    return outline


def _eye(canvas: Canvas, face: Face, views: Views, side: int, features: tuple[Plane, Plane]) -> None:
    """One eye with its brow; ``u`` runs outwards."""
    u, v = features[0] * side, features[1]
    u = u - np.float32(face.eye_distance)
    v = v + 0.08 + u * np.float32(face.eye_slant / face.eye_size)
    socket = ellipse(u, v + 0.03, face.eye_size * 1.5, face.eye_size * 1.1)
    canvas.paint(canvas.cover(socket, 4.0), darker(face.skin, 0.62), 0.35)
    height = column(views.lids) * np.float32(face.eye_size * 0.62) + 0.008
    white = ellipse(u, v, face.eye_size, height)
    inside = canvas.cover(white)
    canvas.paint(inside, (0.95, 0.94, 0.93))
    gaze_u = u - column(views.gaze_x) * np.float32(side * face.eye_size * 0.3)
    gaze_v = v - column(views.gaze_y) * np.float32(face.eye_size * 0.2)
    iris = face.eye_size * 0.56
    canvas.paint(inside * canvas.cover(ellipse(gaze_u, gaze_v, iris, iris)), face.iris)
    canvas.paint(inside * canvas.cover(ellipse(gaze_u, gaze_v, iris * 0.5, iris * 0.5)), (0.03, 0.03, 0.04))
    glint = ellipse(gaze_u - side * iris * 0.35, gaze_v + iris * 0.4, iris * 0.25, iris * 0.25)
    canvas.paint(inside * canvas.cover(glint), (1.0, 1.0, 1.0), 0.9)
    lid = arc(u, v + height, face.eye_size * 1.05, height, 0.016)
    canvas.paint(canvas.cover(lid), darker(face.skin, 0.25), 0.9)
    raised = v + np.float32(face.brow_height) + u * np.float32(face.brow_slant / face.eye_size)
    brow = arc(u, raised, face.eye_size * 1.35, 0.035, face.brow_thickness)
    canvas.paint(canvas.cover(brow), darker(face.hair, 0.7), 0.92)


def _nose(canvas: Canvas, face: Face, views: Views, u: Plane, v: Plane) -> None:
    tip = np.float32(face.nose_length - 0.1)
    turned = u - column(views.yaw) * 0.05
    ridge = np.clip((v + 0.08) / np.float32(face.nose_length), 0, 1)
    centre = u - column(views.yaw) * 0.05 * ridge
    side = -1.0 if views.light[0] > 0 else 1.0
    flank = ellipse(centre - side * face.nose_width * 0.55, v - (tip - 0.1) / 1.5, 0.05, face.nose_length * 0.5)
    canvas.paint(canvas.cover(flank, 3.0), darker(face.skin, 0.62), 0.4)
    ball = ellipse(turned, v - tip, face.nose_width, 0.075)
    canvas.paint(canvas.cover(ball, 2.5), darker(face.skin, 0.88), 0.8)
    shine = ellipse(turned + side * 0.02, v - tip + 0.03, 0.03, 0.03)
    canvas.paint(canvas.cover(shine, 2.0), (1.0, 0.97, 0.93), 0.35)
    under = arc(turned, v - tip - 0.07, face.nose_width * 0.85, -0.03, 0.018)
    canvas.paint(canvas.cover(under, 1.5), darker(face.skin, 0.42), 0.75)


def _mouth(canvas: Canvas, face: Face, views: Views, u: Plane, v: Plane) -> None:
    opening = column(views.opening)
    middle = v - np.float32(face.nose_length + 0.11)
    half = face.mouth_width * (1 - 0.12 * opening)
    curve = column(views.smile) + np.float32(face.mouth_curve)
    share = np.clip(u / half, -1.3, 1.3)
    bent = middle + curve * share * share - curve * 0.5
    gap = opening * 0.095 + 0.008
    lips = ellipse(u, bent - gap * 0.35, half, gap + np.float32(face.lip_fullness))
    canvas.paint(canvas.cover(lips), face.lips)
    lower = ellipse(u, bent - gap - face.lip_fullness * 0.6, half * 0.5, face.lip_fullness * 0.35)
    canvas.paint(canvas.cover(lower, 1.5), (1.0, 0.85, 0.82), 0.22)
    hole = canvas.cover(ellipse(u, bent - gap * 0.35, half * 0.86, gap))
    canvas.paint(hole, (0.20, 0.05, 0.06))
    teeth = canvas.cover(bent + gap * 0.15 - 0.012) * np.clip(opening * 3 - 0.4, 0, 1)
    canvas.paint(hole * teeth, (0.93, 0.91, 0.88))


def _beard(canvas: Canvas, face: Face, head: Plane, u: Plane, v: Plane) -> None:
    mouth = np.float32(face.nose_length + 0.11)
    colour = darker(face.hair, 0.9)
    moustache = arc(u, v - mouth + 0.08, face.mouth_width * 1.05, 0.05, 0.042)
    if face.beard == 2:
        canvas.paint(canvas.cover(moustache), colour, 0.95)
        return
    cheeks = mouth - 0.1 - u * u * 1.15 + np.maximum(np.abs(u) - face.width * 0.72, 0) * -2.6
    lower = np.maximum(head - 0.01, cheeks - v)
    strength, softness = (0.34, 2.5) if face.beard == 1 else (0.95, 1.6)
    grown = np.maximum(canvas.cover(lower, softness), canvas.cover(moustache, softness))
    canvas.paint(grown, colour, strength)


def _glasses(canvas: Canvas, face: Face, head: Plane, u: Plane, v: Plane) -> None:
    across, down = np.abs(u) - np.float32(face.eye_distance), v + 0.07
    is_round = face.glasses == 1
    lens = ellipse(across, down, 0.185, 0.17) if is_round else box(across, down, 0.195, 0.135, 0.05)
    canvas.paint(canvas.cover(lens), (0.85, 0.92, 1.0), 0.13)
    canvas.paint(canvas.cover(np.abs(lens) - 0.021), face.frame)
    bridge = box(u, down + 0.03, max(face.eye_distance - 0.175, 0.03), 0.018, 0.01)
    temple = np.maximum(np.abs(down + 0.04) - 0.02, 0.18 - across)
    canvas.paint(canvas.cover(np.minimum(bridge, np.maximum(temple, head + 0.01))), face.frame)


def _strands(canvas: Canvas, face: Face, views: Views) -> Plane:
    """Hair with strands and a gleam on the lit side: (B, S, S, 3)."""
    wave = sine(canvas.u * 5 + canvas.v * 1.7) * 0.5 + sine(canvas.u * 11 - canvas.v * 3) * 0.3
    gleam = np.clip(1 - ellipse(canvas.u - views.light[0] * 0.3, canvas.v + 0.62, 0.4, 0.16) * 4, 0, 1)
    shade = 1 + 0.16 * wave + 0.3 * gleam
    colours: Plane = shade[..., None] * np.array(face.hair, np.float32) + gleam[..., None] * np.float32(0.05)
    return colours


def _hair_behind(canvas: Canvas, face: Face) -> None:
    u, v, width = canvas.u, canvas.v, face.width
    if face.style == "long":
        shape = np.minimum(
            ellipse(u, v + 0.1, width + 0.16, face.height + 0.06), box(u, v - 0.6, width + 0.17, 0.75, 0.2)
        )
    elif face.style == "bob":
        shape = np.minimum(
            ellipse(u, v + 0.08, width + 0.19, face.height + 0.07), box(u, v - 0.14, width + 0.2, 0.42, 0.16)
        )
    elif face.style == "bun":
        shape = ellipse(u, v + face.height + 0.14, 0.24, 0.2)
    elif face.style == "curly":
        bumps = sine(u * 2.1 + 0.25) * sine(v * 2.1) * 0.045
        shape = ellipse(u, v + 0.22, width + 0.24, face.height + 0.03) + bumps
    else:
        return
    canvas.paint(canvas.cover(shape, 1.5), darker(face.hair, 0.72))


def _hair_in_front(canvas: Canvas, face: Face, head: Plane, views: Views) -> None:
    """Everything between the grown outline of the head and the line where the hair begins."""
    if face.style == "bald":
        return
    u, v = canvas.u, canvas.v
    part = u - np.float32(face.parting)
    side = np.maximum(np.abs(u) - face.width * 0.74, 0) * 7
    top = -face.height
    thickness, line = {
        "short": (0.07, top + 0.33 + side + part * 0.12),
        "long": (0.08, top + 0.16 + np.abs(part) * 0.95 + side * 1.5),
        "curly": (0.13, top + 0.34 + sine(u * 2.6) * 0.035 + side),
        "fringe": (0.08, top + 0.46 + sine(u * 4.2) * 0.012 + side * 1.2),
        "quiff": (0.035, top + 0.26 + side - part * 0.1),
        "bob": (0.09, top + 0.3 + part * 0.45 + side * 2.5),
        "receding": (0.035, top + 0.12 + side * 1.1 + np.abs(u) * 0.1),
        "bun": (0.035, top + 0.24 + u * u * 0.9 + side * 0.5),
        "buzz": (0.015, top + 0.3 + side * 0.8),
    }[face.style]
    grown = canvas.cover(head - np.float32(thickness)) * canvas.cover(v - line, 1.6)
    if face.style == "quiff":
        tuft = ellipse(
            u - np.float32(face.parting * 0.3), v + face.height - 0.1 + u * 0.12, face.width * 0.9, 0.24
        )
        grown = np.maximum(grown, canvas.cover(tuft))
    canvas.paint(grown, _strands(canvas, face, views), 0.72 if face.style == "buzz" else 1.0)
