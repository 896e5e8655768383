"""The models in the archive, and which of them fits a series."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field

from iodeep.anatomy.regions import places
from iodeep.service.api.archive_reads import (
    ModelCardOut,
    ModelOut,
    SelectionAsk,
    decide_without_images,
    model_with_card,
    models_of,
)
from iodeep.service.api.parameters import Uid, Words
from iodeep.service.api.state import State, Viewer, archive_name, models_archive

router = APIRouter(tags=["models"])


class ModelList(BaseModel):
    """The releases in an archive."""

    archive: str
    items: list[ModelOut]


class SelectionOut(BaseModel):
    """Which model would be run, and why; or why none."""

    model_config = ConfigDict(extra="allow")

    chosen: str | None
    chosen_uid: str | None
    refusal: str | None = Field(description="Why none fits.")
    open_questions: list[str] = Field(description="What can only be known once the images are read.")
    candidates: list[dict[str, Any]] = Field(description="Each model, with every requirement's outcome in a sentence.")


_Name = Annotated[Words | None, Query(description="Part of the name or token.")]


@router.get("/models", operation_id="listModels", summary="List models")
async def list_all(
    state: State,
    _caller: Viewer,
    modality: Annotated[
        str | None, Query(max_length=16, pattern="^[A-Z0-9_ ]+$", description="Such as `MR`.", examples=["MR"])
    ] = None,
    anatomy: Annotated[
        str | None,
        Query(
            max_length=16, pattern="^[A-Z0-9_ ]+$", description="Body Part Examined defined term.", examples=["HEAD"]
        ),
    ] = None,
    disease: Annotated[Words | None, Query(description="Condition: code, name or token.")] = None,
    name: _Name = None,
) -> ModelList:
    """Every release in the archive that models come from, as `iodeep models` shows them."""
    if anatomy is not None and anatomy.strip() not in places():
        return ModelList(archive=models_archive(state.context.settings), items=[])
    archive = models_archive(state.context.settings)
    key = ("models", archive, modality, anatomy, disease, name)
    rows = await state.archives.shared(
        key,
        models_of,
        state.context,
        state.policy,
        archive,
        modality=modality or "",
        anatomy=anatomy or "",
        disease=disease or "",
        name=name or "",
    )
    return ModelList(archive=archive, items=rows)


@router.get(
    "/models/{uid}",
    operation_id="getModel",
    summary="Look at a model",
    responses={404: {"description": "No such model."}},
)
async def one(uid: Uid, state: State, _caller: Viewer) -> ModelCardOut:
    """A release with its card: what it is for, what it eats and gives, and what it may claim."""
    archive = models_archive(state.context.settings)
    return await state.archives.shared(
        ("model", archive, uid), model_with_card, state.context, state.policy, archive, uid
    )


@router.post(
    "/selection",
    operation_id="selectModel",
    summary="Which model fits",
    responses={404: {"description": "No such series or archive."}},
)
async def select(ask: Annotated[SelectionAsk, Body()], state: State, _caller: Viewer) -> SelectionOut:
    """Which model fits a series, and why, from what the archive says of it: nothing is fetched, run or written.

    What can only be known from the images is in `open_questions`; a job asks them and refuses where they don't hold.
    """
    settings = state.context.settings
    pacs = archive_name(settings, ask.pacs)
    document = await state.archives.run(
        decide_without_images, state.context, state.policy, pacs, models_archive(settings), ask
    )
    return SelectionOut.model_validate(document)
