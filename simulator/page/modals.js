// Shows the stack of modals: the top one as a dialog, with typed input kept, errors under fields and a loading state.

import { Refusal } from "./api.js";
import { syncBlocks } from "./blocks.js";
import { announce, fill, h, icon, iconButton } from "./dom.js";
import { Surface } from "./elements.js";
import { Fields } from "./fields.js";
import { closePopup, focusAgain } from "./overlay.js";

/** The modals of the present person. */
export class Modals {
  constructor(store) {
    this.store = store;
    this.forms = new Map();
    this.shown = null;
    this.before = null;
    this.title = h("h2", { id: "modal-title" });
    this.depth = h("div", { class: "modal-app" });
    this.notice = h("div", { class: "modal-notice", role: "alert" });
    this.body = h("div", { class: "modal-body", tabindex: "-1" });
    this.submitButton = h("button", { type: "submit", class: "button is-primary" });
    this.closeButton = h("button", { type: "button", class: "button", onclick: () => this.close(false) });
    this.form = h("form", { class: "modal-form", novalidate: true, onsubmit: (event) => {
      event.preventDefault();
      this.submit();
    } },
      h("header", { class: "modal-head" }, h("div", {}, this.title, this.depth), iconButton("close", "Close", () => this.close(true))),
      this.notice, this.body,
      h("footer", { class: "modal-foot" }, this.closeButton, this.submitButton));
    this.node = h("dialog", { class: "dialog modal", "aria-labelledby": "modal-title", onkeydown: (event) => event.stopPropagation() }, this.form);
    this.node.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (!this.node.querySelector(".popup")) this.close(false);
    });
    document.body.append(this.node);
  }

  /** Show what the store's stack says. */
  refresh(reason = "") {
    const stack = this.store.modal;
    for (const id of this.forms.keys()) if (!stack.some((view) => view.id === id)) this.forms.delete(id);
    const view = stack.at(-1);
    if (!view) return this.hide();
    const isNew = this.shown !== view.id;
    if (isNew) closePopup();
    this.shown = view.id;
    this.draw(view, stack.length);
    if (!this.node.open) {
      this.before = document.activeElement;
      this.node.showModal();
    }
    if (isNew) {
      this.body.scrollTop = 0;
      this.focusFirst(view);
    }
    if (reason === "errors") this.focusError();
    return undefined;
  }

  hide() {
    this.shown = null;
    if (!this.node.open) return;
    closePopup();
    this.node.close();
    if (this.before instanceof HTMLElement) focusAgain(this.before);
    this.before = null;
  }

  formOf(view) {
    let form = this.forms.get(view.id);
    if (!form) {
      const surface = new Surface(this.store, "modal", { view_id: view.id }, new Fields(view.values));
      form = { surface, blocks: h("div", { class: "blocks" }) };
      this.forms.set(view.id, form);
    }
    form.surface.fields.known = view.values ?? {};
    return form;
  }

  draw(view, depth) {
    const { surface, blocks } = this.formOf(view);
    this.title.textContent = view.title ?? "";
    fill(this.depth, this.store.appName, depth > 1 ? ` · step ${depth}` : "");
    syncBlocks(blocks, view.blocks, surface);
    if (this.body.firstChild !== blocks) fill(this.body, blocks);
    this.submitButton.hidden = !view.submit;
    fill(this.submitButton, h("span", { class: "button-text" }, view.submit ?? ""));
    this.submitButton.disabled = Boolean(view.submit_disabled);
    fill(this.closeButton, depth > 1 ? icon("back") : null, h("span", { class: "button-text" }, view.close || "Close"));
    this.showErrors(view.errors ?? {});
    this.showNotice();
  }

  showErrors(errors) {
    for (const block of this.body.querySelectorAll("[data-block]")) {
      const text = errors[block.dataset.block] ?? "";
      const slot = block.querySelector(".field-error");
      if (slot && slot.textContent !== text) slot.textContent = text;
      block.classList.toggle("has-error", text !== "");
      block.querySelector("[data-key]")?.setAttribute("aria-invalid", String(text !== ""));
    }
  }

  showNotice() {
    const notice = this.store.notices.get(this.shown);
    fill(this.notice, notice ? h("div", { class: `notice is-${notice.level}` }, h("span", { "aria-hidden": "true" }, "⚠ "), notice.text) : null);
  }

  focusFirst(view) {
    const focused = view.blocks.map((block) => block.element ?? block.accessory).find((item) => item?.focus_on_load);
    const wanted = focused && this.body.querySelector(`[data-key$="|${CSS.escape(focused.action_id)}"]`);
    const first = this.body.querySelector(".input [data-key]");
    const target = wanted ?? first ?? (this.submitButton.hidden ? this.closeButton : this.submitButton);
    (target.matches(".choices") ? (target.querySelector("input:checked") ?? target.querySelector("input")) : target)?.focus();
  }

  focusError() {
    const field = this.body.querySelector(".has-error [data-key]");
    (field?.matches(".choices") ? field.querySelector("input") : field)?.focus();
  }

  loading(isLoading) {
    this.node.classList.toggle("is-loading", isLoading);
    this.node.setAttribute("aria-busy", String(isLoading));
    if (isLoading) this.submitButton.setAttribute("aria-busy", "true");
    else this.submitButton.removeAttribute("aria-busy");
    this.submitButton.toggleAttribute("data-busy", isLoading);
  }

  async submit() {
    if (this.node.classList.contains("is-loading") || this.submitButton.hidden || this.submitButton.disabled) return;
    const id = this.shown;
    const { surface } = this.forms.get(id);
    this.store.notices.delete(id);
    this.showNotice();
    this.loading(true);
    announce("Sending…");
    try {
      const answer = await this.store.act("submit", { view_id: id, values: surface.typedValues() });
      this.loading(false);
      const fault = this.store.outcomeFault(answer.outcome);
      if (fault) this.store.notice({ view_id: id }, `${fault} What you typed is still here; try again.`);
      if (answer.result === "errors" && this.shown === id) {
        this.showErrors(answer.errors);
        this.focusError();
      } else if (answer.modal && !fault) {
        this.store.modal = answer.modal;
        this.refresh();
      }
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      this.store.notice({ view_id: id }, problem.message);
    } finally {
      this.loading(false);
    }
  }

  async close(all) {
    const id = this.shown;
    try {
      const answer = await this.store.act("close", { view_id: id, ...(all ? { all: true } : {}) });
      this.store.modal = answer.modal ?? [];
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      this.store.modal = this.store.modal.filter((view) => view.id !== id && !all);
    }
    this.refresh();
  }
}
