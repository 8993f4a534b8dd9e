-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Health of every kind of dbops.dbprovision.io for Argo CD (argocd-cm: resource.customizations.health.
-- dbops.dbprovision.io_KIND, or dbops.dbprovision.io_* for all). It reads the conditions that kstatus reads.
local health = { status = "Progressing", message = "Waiting for the operator" }
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "The newest spec was not looked at yet"
  return health
end
local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
if found.Stalled ~= nil and found.Stalled.status == "True" then
  return { status = "Degraded", message = found.Stalled.message }
end
if found.Ready ~= nil and found.Ready.status == "True" and found.Reconciling == nil then
  return { status = "Healthy", message = found.Ready.message }
end
if found.Ready ~= nil then
  health.message = found.Ready.message
end
return health
