// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "../interfaces/IMarketBase.sol";
import {Payout} from "./Payout.sol";
import {Votes} from "./Votes.sol";

/// @title Terms: what a requester may promise (P2.2, P1.5)
library Terms {
    uint256 private constant MAX_LANES = 8;
    uint256 private constant MAX_PARENTS = 4;
    uint256 private constant MAX_ROYALTIES = 2000; // basis points: 20 %

    /// @notice Reverts with the name of the first term that is out of range.
    /// @param limits the market's bounds
    /// @param minimumFee the market's least fee, @param seatStake S
    function check(
        IMarketBase.JobTerms calldata terms,
        IMarketBase.Limits memory limits,
        uint256 minimumFee,
        uint256 seatStake
    ) internal pure {
        uint256 n = terms.committee;
        if (n != 3 && n != 5 && n != 7) revert IMarketBase.BadCommitteeSize(terms.committee);
        if (terms.floor == terms.target) revert IMarketBase.FloorEqualsTarget(terms.floor);
        checkShape(terms);
        _within("floor", terms.floor, 0, Votes.MAX_SCORE);
        _within("target", terms.target, 0, Votes.MAX_SCORE);
        _within("floorPay", terms.floorPay, 0, Payout.PPM);
        _within("shards", terms.shards, 16, 64);
        _within("heldOut", terms.heldOut, 4, terms.shards / 2);
        _within("fee", terms.fee, minimumFee, seatStake / 32);
        uint256 fees = n * terms.fee;
        uint256 fifth = (uint256(terms.priceCap) + 4) / 5; // 20 %, rounded up
        _within("collateral", terms.collateral, fees > fifth ? fees : fifth, type(uint96).max);
        _checkWindows(terms, limits);
        _checkWork(terms, limits);
    }

    /// @notice What every job must be, the agreed ones that no market ever posted included: P3.1 counts lanes, P7.3 parents.
    function checkShape(IMarketBase.JobTerms calldata terms) internal pure {
        _within("lanes", terms.lanes, 1, MAX_LANES);
        _checkParents(terms.parents);
    }

    function _checkWindows(IMarketBase.JobTerms calldata terms, IMarketBase.Limits memory limits) private pure {
        _within("bidWindow", terms.bidWindow, limits.bid.least, limits.bid.greatest);
        _within("workWindow", terms.workWindow, limits.work.least, limits.work.greatest);
        _within("releaseWindow", terms.releaseWindow, limits.release.least, limits.release.greatest);
        _within("commitWindow", terms.commitWindow, limits.commit.least, limits.commit.greatest);
        _within("revealWindow", terms.revealWindow, limits.reveal.least, limits.reveal.greatest);
        _within("challengeWindow", terms.challengeWindow, limits.challenge.least, limits.challenge.greatest);
    }

    /// @dev No terms may fine honest seats for work that cannot be done in time (P1.5).
    function _checkWork(IMarketBase.JobTerms calldata terms, IMarketBase.Limits memory limits) private pure {
        _within("shardBytes", terms.shardBytes, 1, limits.shardBytes);
        _within("weightsBytes", terms.weightsBytes, 1, limits.weightsBytes);
        uint256 budget = uint256(limits.operationsPerSecond) * terms.commitWindow;
        _within("operationCap", terms.operationCap, 1, budget / terms.lanes);
    }

    function _checkParents(IMarketBase.Parent[] calldata parents) private pure {
        _within("parents", parents.length, 0, MAX_PARENTS);
        uint256 bps;
        for (uint256 i; i < parents.length; ++i) {
            if (parents[i].payee == address(0)) revert IMarketBase.ZeroAddress();
            bps += parents[i].bps;
        }
        if (bps > MAX_ROYALTIES) revert IMarketBase.RoyaltiesTooHigh(bps);
    }

    function _within(bytes32 field, uint256 value, uint256 least, uint256 greatest) private pure {
        if (value < least || value > greatest) revert IMarketBase.TermOutOfRange(field, value, least, greatest);
    }
}
