// What each command does.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/json_writer.h"
#include "runner/tenant.h"

namespace oqto::runner {

using protocol::Cmd;
using protocol::Code;
using protocol::JsonArray;
using protocol::JsonObject;

static constexpr const char* kTooManySubscriptions =
    "this connection follows too many sessions: session.unsubscribe from some first";

void Tenant::execute(const Job& job, Reply reply) {
  const protocol::Command& command = job.command;
  switch (command.cmd) {
    case Cmd::list_workspaces:
      return reply(list_workspaces());
    case Cmd::list_sessions:
      if (counts_known_) return reply(list_sessions());
      for_counts_.push_back([this, reply] { reply(list_sessions()); });
      return;
    case Cmd::create_workspace:
      return create_workspace(std::get<protocol::CreateWorkspace>(command.args), std::move(reply));
    case Cmd::session_create:
      return create_session(job, std::move(reply));
    case Cmd::not_built:
      return reply(no(Code::not_available_yet, "`" + command.head.name + "` is not available yet"));
    case Cmd::get_models:
      if (command.head.session_id == protocol::kSystemSession) return reply(models_json());
      break;
    default:
      break;
  }
  Session* target = session(command.head.session_id);
  if (target == nullptr) return reply(no(Code::not_found, "there is no such session"));
  execute_in(*target, job, std::move(reply));
}

pi::Delivery Tenant::delivery_of(Cmd cmd) {
  return cmd == Cmd::steer ? pi::Delivery::steer : cmd == Cmd::follow_up ? pi::Delivery::follow_up : pi::Delivery::now;
}

void Tenant::execute_in(Session& target, const Job& job, Reply reply) {
  const auto& args = job.command.args;
  switch (job.command.cmd) {
    case Cmd::session_subscribe: return subscribe(target, job, reply);
    case Cmd::session_unsubscribe:
      if (const auto connection = job.connection.lock()) connection->forget(target);
      return reply("");
    case Cmd::session_new: return new_session(target, job, std::move(reply));
    case Cmd::fork: return fork_session(target, job, std::move(reply));
    case Cmd::get_fork_points: return target.get_fork_points(std::move(reply));
    case Cmd::compact: return target.compact(std::get<protocol::Compact>(args), std::move(reply));
    case Cmd::session_close: return target.close("closed by the user", true, std::move(reply));
    case Cmd::session_delete: return delete_session(target, std::move(reply));
    case Cmd::set_session_name:
      return target.set_name(std::get<protocol::SetName>(args).name, std::move(reply));
    case Cmd::prompt:
    case Cmd::steer:
    case Cmd::follow_up:
      return target.prompt(std::get<protocol::Prompt>(args), delivery_of(job.command.cmd),
                           std::move(reply));
    case Cmd::queue_edit: return target.queue_edit(std::get<protocol::QueueEdit>(args), reply);
    case Cmd::queue_remove: return target.queue_remove(std::get<protocol::QueueRemove>(args), reply);
    case Cmd::abort: return target.abort(std::move(reply));
    case Cmd::input_response:
      return target.answer_input(std::get<protocol::InputResponse>(args), job.username, reply);
    case Cmd::get_state: return reply(target.state_json());
    case Cmd::get_messages:
      return target.get_messages(std::get<protocol::GetMessages>(args), std::move(reply));
    case Cmd::get_part: return target.get_part(std::get<protocol::GetPart>(args), std::move(reply));
    case Cmd::get_stats: return reply(target.stats_json());
    case Cmd::get_models: return reply(protocol::encode_models(target.models()));
    case Cmd::set_model:
      return target.set_model(std::get<protocol::SetModel>(args), std::move(reply));
    case Cmd::set_thinking_level:
      return target.set_thinking_level(std::get<protocol::SetThinkingLevel>(args).level,
                                       std::move(reply));
    default:
      return reply(no(Code::not_available_yet, "this command is not available yet"));
  }
}

// --- workspaces ----------------------------------------------------------------------------------

static std::string workspace_json(const Workspace& workspace) {
  JsonObject object;
  object.text("id", workspace.id).text("name", workspace.name);
  return object.number("created_at", workspace.created_at).str();
}

std::string Tenant::list_workspaces() const {
  JsonArray rows;
  for (const auto& [id, workspace] : registry_.workspaces) rows.json(workspace_json(workspace));
  return JsonObject().json("workspaces", rows.str()).str();
}

const Workspace* Tenant::workspace_named(std::string_view id_or_name) const {
  const auto by_id = registry_.workspaces.find(id_or_name);
  if (by_id != registry_.workspaces.end()) return &by_id->second;
  const auto by_name =
      std::find_if(registry_.workspaces.begin(), registry_.workspaces.end(),
                   [&](const auto& entry) { return entry.second.name == id_or_name; });
  return by_name == registry_.workspaces.end() ? nullptr : &by_name->second;
}

void Tenant::create_workspace(const protocol::CreateWorkspace& wanted, Reply reply) {
  if (registry_.workspaces.size() >= Registry::kMaxWorkspaces) {
    return reply(no(Code::limit, "there are too many workspaces already"));
  }
  const Uuid uuid = Uuid::random();
  const Workspace workspace{uuid.text(), wanted.name, sys::now_ms()};
  guard_.create_workspace(uuid, [this, workspace, reply](std::expected<void, GuardRefusal> made) {
    if (!made) {
      const bool later = made.error().refusal == ipc::Refusal::unavailable;
      return reply(no(later ? Code::unavailable : Code::refused,
                      "the workspace was not created: " + made.error().why));
    }
    registry_.workspaces.emplace(workspace.id, workspace);
    if (!save_registry()) {
      registry_.workspaces.erase(workspace.id);
      return reply(no(Code::unavailable, "the workspace could not be stored: try again"));
    }
    push(protocol::encode_push("workspace", "workspace", workspace_json(workspace)));
    reply(JsonObject().json("workspace", workspace_json(workspace)).str());
  });
}

// --- sessions ------------------------------------------------------------------------------------

std::string Tenant::list_sessions() const {
  std::vector<const Session*> newest_first;
  for (const auto& [id, known] : sessions_) newest_first.push_back(known.get());
  std::sort(newest_first.begin(), newest_first.end(), [](const Session* a, const Session* b) {
    return std::max(a->record().last_activity, a->record().created_at) >
           std::max(b->record().last_activity, b->record().created_at);
  });
  const std::size_t total = newest_first.size();
  if (total > kMaxListed) newest_first.resize(kMaxListed);
  constexpr std::size_t kMaxBytes = 900 * 1024;  // below the frame's bound
  JsonArray rows;
  for (const Session* known : newest_first) {
    const std::string row = known->list_json();
    if (rows.bytes() + row.size() > kMaxBytes) continue;  // one with a long question hides no other
    rows.json(row);
  }
  return JsonObject().json("sessions", rows.str()).number("total", total).str();
}

// Makes the record and the object of a session that is not known yet.
Answer Tenant::add_session(const std::string& id, const protocol::CreateSession& wanted) {
  const Workspace* workspace = workspace_named(wanted.workspace);
  if (wanted.workspace.empty()) return no(Code::bad_request, "field `workspace_id` is missing");
  if (workspace == nullptr) return no(Code::not_found, "there is no such workspace");
  if (registry_.sessions.size() >= Registry::kMaxSessions) {
    return no(Code::limit, "there are too many sessions: delete some first");
  }
  const auto profile = wanted.profile.empty() ? ipc::Profile::development
                                              : profile_named(wanted.profile).value();
  const std::uint64_t now = sys::now_ms();
  SessionRecord record{.id = id, .workspace = workspace->id, .profile = profile};
  record.provider = wanted.provider;
  record.model = wanted.model;
  record.created_at = record.last_activity = now;
  SessionRecord& kept = registry_.sessions.insert_or_assign(id, record).first->second;
  if (!save_registry()) {
    registry_.sessions.erase(id);
    return no(Code::unavailable, "the session could not be stored: try again");
  }
  on_changed(*(sessions_[id] = std::make_unique<Session>(*this, kept, false)));
  return "";
}

void Tenant::create_session(const Job& job, Reply reply) {
  const auto& wanted = std::get<protocol::CreateSession>(job.command.args);
  const std::string& id = job.command.head.session_id;
  if (!wanted.profile.empty() && !profile_named(wanted.profile)) {
    return reply(no(Code::bad_request, "field `profile` must be minimal, development or strict"));
  }
  const bool fresh = session(id) == nullptr;
  if (fresh) {
    const Answer added = add_session(id, wanted);
    if (!added) return reply(added);
  }
  Session& target = *session(id);
  if (!fresh && !wanted.workspace.empty()) {
    const Workspace* workspace = workspace_named(wanted.workspace);
    if (workspace == nullptr || workspace->id != target.record().workspace) {
      return reply(no(Code::bad_request, "the session belongs to another workspace"));
    }
  }
  if (const auto connection = job.connection.lock(); connection && !connection->subscribe(target)) {
    if (fresh) drop_session(id);
    return reply(no(Code::limit, kTooManySubscriptions));
  }
  target.start(wanted, [this, id, fresh, reply](const Answer& answer) {
    if (!answer && fresh) drop_session(id);  // it never was
    reply(answer);
  });
}

void Tenant::subscribe(Session& target, const Job& job, const Reply& reply) {
  const auto connection = job.connection.lock();
  if (!connection) return reply("");
  if (!connection->subscribe(target)) return reply(no(Code::limit, kTooManySubscriptions));
  const auto& wanted = std::get<protocol::Subscribe>(job.command.args);
  const EventRing::Replay replay = target.ring().after(wanted.since_seq, wanted.epoch);
  JsonObject data;
  data.text("epoch", target.ring().epoch()).number("seq", target.ring().last_seq());
  data.number("first_seq", target.ring().first_seq());
  data.boolean("complete", replay.complete).json("state", target.state_json());
  reply(data.str());
  for (const EventText& event : replay.events) connection->send_event(event);
}

// --- conversations that come from another --------------------------------------------------------

std::expected<Session*, protocol::Failure> Tenant::add_like(const Session& like) {
  const SessionRecord& record = like.record();
  const std::string id = "oqto-" + Uuid::random().text();
  protocol::CreateSession wanted{.workspace = record.workspace, .provider = record.provider, .model = record.model,
                                 .profile = std::string(profile_name(record.profile))};
  const Answer added = add_session(id, wanted);
  if (!added) return std::unexpected(added.error());
  return session(id);
}

void Tenant::new_session(const Session& like, const Job& job, Reply reply) {
  const auto made = add_like(like);
  if (!made) return reply(std::unexpected(made.error()));
  const std::string id = (*made)->record().id;
  if (const auto connection = job.connection.lock()) (void)connection->subscribe(**made);
  (*made)->start({}, [this, id, reply](const Answer& answer) {
    if (answer) return reply(JsonObject().text("session_id", id).str());
    drop_session(id);
    reply(answer);
  });
}

// The history copies what came before the point; the harness does the same with its own file.
void Tenant::fork_session(Session& target, const Job& job, Reply reply) {
  const std::string from = target.record().id;
  target.find_fork_point(
      std::get<protocol::Fork>(job.command.args),
      [this, from, reply](std::expected<Session::ForkPoint, protocol::Failure> point) {
        if (!point) return reply(std::unexpected(point.error()));
        Session* const parent = session(from);
        if (parent == nullptr) return reply(no(Code::not_found, "there is no such session"));
        const auto made = add_like(*parent);
        if (!made) return reply(std::unexpected(made.error()));
        const std::string id = (*made)->record().id;
        SessionRecord& record = registry_.sessions.at(id);
        record.conversation = parent->conversation_id();
        record.fork_entry = point->entry;
        record.title = parent->record().title;
        record.titled = parent->record().titled;
        ConversationHead head = (*made)->conversation();
        const auto failed = [this, id, reply](protocol::Failure why) {
          drop_session(id);
          reply(std::unexpected(std::move(why)));
        };
        history_->fork(head, from, point->idx, "-" + id.substr(5, 8),
                       [this, id, reply, failed, text = point->text](Status copied) {
                         Session* const fork = session(id);
                         if (fork == nullptr) return reply(no(Code::not_found, "the new session was deleted"));
                         if (!copied || !save_registry())
                           return failed({Code::unavailable, "the conversation could not be copied: try again"});
                         fork->adopt_conversation();
                         fork->when_ready([id, reply, failed, text](const Answer& ready) {
                           if (!ready) return failed(ready.error());
                           JsonObject data;
                           reply(data.text("new_session_id", id).text("text", text).boolean("cancelled", false).str());
                         });
                       });
      });
}

void Tenant::delete_session(Session& target, Reply reply) {
  const std::string id = target.record().id;
  target.close("deleted", true, [this, id, reply](const Answer&) {
    Session* const closed = session(id);
    if (closed == nullptr) return reply("");
    closed->erase_conversation([this, id, reply](const Answer& erased) {
      history_->remove(id, [this, id, reply, erased](Status removed) {
        if (!removed && removed.error().code != Errc::not_found) {
          return reply(no(Code::unavailable, "the history does not answer; the session is stopped but not deleted"));
        }
        drop_session(id);
        reply(erased);
      });
    });
  });
}

void Tenant::drop_session(const std::string& id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  for (const auto& [number, connection] : connections_) connection->forget(*found->second);
  // The object refers to its record: both go after the current task.
  auto record = registry_.sessions.extract(id);
  reactor_.post([held = std::make_shared<std::pair<decltype(record), std::unique_ptr<Session>>>(
                     std::move(record), std::move(found->second))]() mutable {
    held->second.reset();
  });
  sessions_.erase(found);
  push(protocol::encode_push("session_removed", "session_id", '"' + id + '"'));
  if (!save_registry()) log::warn("the registry was not written");
}

}  // namespace oqto::runner
